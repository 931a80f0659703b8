//! Arrival of an append in the cloud.

use std::time::Duration;

use crate::Received;

/// When and how an append arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Time of its arrival, since the driver's origin.
    pub at: Duration,
    /// How its bytes came in; `None` when they came in one read.
    pub received: Option<Received>,
}

/// An append that waits; shared by its pieces when it is cut.
#[derive(Clone, Debug)]
pub(super) struct Waiting<P> {
    pub(super) rows: P,
    pub(super) arrival: Arrival,
    /// Drawn in order of arrival.
    pub(super) ticket: u64,
}
