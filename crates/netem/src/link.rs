//! The pure link: which packet arrives when. Nothing here reads a clock or does I/O.

mod config;
mod error;
mod jitter;
mod preset;
mod rng;
mod shaper;
mod simplex;
mod stall;

pub use config::{DirectionConfig, LinkConfig, MAX_DELAY, MIN_RATE};
pub use error::LinkConfigError;
pub use preset::{Preset, REFERENCE_HIDDEN, UnknownPreset};
pub use simplex::SimplexLink;
pub use stall::{StallRate, Stalls};
