//! Clock of a request: the time that is left to answer it.

use std::time::{Duration, Instant};
use tricorn_device::DeviceError;

/// A request's time, counted from when all of it was there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    begun: Instant,
    limit: Option<Duration>,
}

impl Clock {
    /// The clock of a request that may take so long; `None` for as long as it takes.
    pub(crate) fn start(limit: Option<Duration>) -> Self {
        Self { begun: Instant::now(), limit }
    }

    /// The time that is left; `None` where there is no end.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.limit.map(|limit| limit.saturating_sub(self.begun.elapsed()))
    }

    /// The error of a request whose time is over.
    pub(crate) fn over(&self) -> DeviceError {
        DeviceError::Deadline(self.limit.unwrap_or_default())
    }
}
