//! An emulated link: a TCP proxy in user space with a rate, a delay and mishaps, each direction on
//! its own.
//!
//! ```text
//! device -> socket -> [queue -> rate -> delay] -> socket -> cloud
//!                      one line per direction, shared by all connections
//! ```
//!
//! `line` is the arithmetic: which piece arrives when. It neither sleeps nor reads a clock. A
//! thread per direction (`courier`) hands over what has arrived; one thread for the whole link
//! (`connection`) reads. `docs/links.md` explains the model and states what it measures.

mod check;
mod connection;
mod courier;
mod emulator;
mod error;
mod line;
mod outbox;
mod pace;
mod preset;
mod shape;
mod stall;
mod units;

pub use check::{DELAY_TOLERANCE, LinkReport, RATE_TOLERANCE, RateReport, check};
pub use emulator::{Counters, Emulator, Traffic};
pub use error::{LinkConfigError, LinkError};
pub use preset::{Preset, REFERENCE_HIDDEN, UnknownPreset};
pub use shape::{Direction, MAX_DELAY, MIN_RATE, Shape};
pub use stall::{StallRate, Stalls};
pub use units::{UnitError, parse_bytes, parse_duration, parse_rate};
