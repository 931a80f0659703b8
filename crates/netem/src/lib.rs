//! Emulated network links: a rate, a delay, jitter, stalls and outages, each direction on its own.
//!
//! Two types to know:
//!
//! - [`SimplexLink`] is one direction as arithmetic: packets in, arrivals out. It reads no clock,
//!   never sleeps and does no I/O. Times are [`Duration`](std::time::Duration)s on a clock of the
//!   caller's, which may be a virtual one.
//! - [`Emulator`] is a link that runs: a TCP proxy between devices and a cloud, with a
//!   [`SimplexLink`] for each direction, shared by all connections.
//!
//! Both are set up by a [`LinkConfig`], which may be a [`Preset`]. `link` is pure;
//! `emulator` has the sockets, threads and clock; `check` measures a running link against its
//! configuration. `docs/links.md` explains the model and states what it measures.
//!
//! ```text
//! device -> socket -> [queue -> shaper -> delay and jitter] -> socket -> cloud
//!                      one simplex link a direction
//! ```
//!
//! # Under a virtual clock
//! ```
//! use std::time::Duration;
//! use tricorn_netem::{DirectionConfig, SimplexLink};
//!
//! let mut now = Duration::ZERO;
//! let config = DirectionConfig::new(1e6, Duration::from_millis(3));
//! let mut link = SimplexLink::new(config, 7, now);
//! link.offer(now, 1500, "first");
//! link.offer(now, 500, "second");
//! let mut arrivals = Vec::new();
//! while let Some(next) = link.next_arrival() {
//!     now = next;
//!     while let Some(arrival) = link.pop_arrival(now) {
//!         arrivals.push(arrival);
//!     }
//! }
//! let micros = Duration::from_micros;
//! assert_eq!(arrivals, [(micros(4500), "first"), (micros(5000), "second")]);
//! ```
#![forbid(unsafe_code)]

mod check;
mod emulator;
mod link;
mod units;

pub use check::{DELAY_TOLERANCE, LinkReport, RATE_TOLERANCE, RateReport, check};
pub use emulator::{Counters, Emulator, LinkError, Traffic};
pub use link::{
    DirectionConfig, LinkConfig, LinkConfigError, MAX_DELAY, MIN_RATE, Preset, REFERENCE_HIDDEN,
    SimplexLink, StallRate, Stalls, UnknownPreset,
};
pub use units::{UnitError, parse_bytes, parse_duration, parse_rate};
