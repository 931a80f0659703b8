//! Errors of a link's configuration.

use super::config::{MAX_DELAY, MIN_RATE};
use std::time::Duration;

/// A configuration that no link has.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkConfigError {
    /// Zero, negative or not a number.
    #[error("the {way} rate is {bytes_per_s} bytes/s; use at least {MIN_RATE}, or `unlimited`")]
    Rate {
        /// `up` or `down`.
        way: &'static str,
        /// What was asked for.
        bytes_per_s: f64,
    },
    /// Too long to be meant.
    #[error("the {way} delay is {delay:?}; use at most {MAX_DELAY:?}")]
    Delay {
        /// `up` or `down`.
        way: &'static str,
        /// What was asked for.
        delay: Duration,
    },
    /// A packet would arrive before it was sent.
    #[error(
        "the {way} jitter of {jitter:?} is more than the delay of {delay:?}; use less jitter or \
         more delay"
    )]
    Jitter {
        /// `up` or `down`.
        way: &'static str,
        /// What was asked for.
        jitter: Duration,
        /// The delay that it varies.
        delay: Duration,
    },
    /// Never, always, or for too long.
    #[error(
        "the {way} stalls make no sense; use a rate above 0 and at most 1000, and a duration \
         above 0 and at most {MAX_DELAY:?}"
    )]
    Stalls {
        /// `up` or `down`.
        way: &'static str,
    },
    /// Nothing would ever pass.
    #[error("the {way} queue holds no bytes; use at least 1")]
    Queue {
        /// `up` or `down`.
        way: &'static str,
    },
}
