//! Clock: the time since a turn began.

use std::time::{Duration, Instant};

/// The one place where a turn reads the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    started: Instant,
}

impl Clock {
    /// Starts at zero.
    pub(super) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// The time since it was started.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }
}
