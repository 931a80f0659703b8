//! What an operator decides.

use std::{net::SocketAddr, time::Duration};

use tricorn_core::SessionLimits;

use crate::CloudError;

/// A cloud's settings. Rows are tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudConfig {
    /// Where to listen; port 0 takes any free port.
    pub listen: SocketAddr,
    /// Sessions at a time.
    pub max_sessions: usize,
    /// What each session is held to.
    pub limits: SessionLimits,
    /// Rows that one forward pass takes, unless a single append has more.
    pub batch_rows: usize,
    /// Answers, in rows, that wait for a device to read them before it is dropped as too slow.
    pub outbox_rows: usize,
    /// A session from which nothing was heard for this long is ended.
    pub idle_timeout: Duration,
    /// How long a new stream may take to say `Open`.
    pub open_timeout: Duration,
    /// How long [`Cloud::serve`](crate::Cloud::serve) waits for answers and devices once it is told to stop.
    pub drain_timeout: Duration,
}

impl CloudConfig {
    /// Settings that suit a small cloud for a model of `context` tokens.
    #[must_use]
    pub fn new(listen: SocketAddr, context: usize) -> Self {
        Self {
            listen,
            max_sessions: 64,
            limits: SessionLimits { context, max_append_rows: 512, max_queued_rows: 2048 },
            batch_rows: 512,
            outbox_rows: 4096,
            idle_timeout: Duration::from_secs(300),
            open_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
        }
    }

    pub(crate) fn check(&self) -> Result<(), CloudError> {
        let SessionLimits { context, max_append_rows, max_queued_rows } = self.limits;
        let at_least = |field, value: usize, least: usize| {
            if value >= least { Ok(()) } else { Err(CloudError::Config { field, value, least }) }
        };
        at_least("max_sessions", self.max_sessions, 1)?;
        at_least("limits.context", context, 1)?;
        at_least("limits.max_append_rows", max_append_rows, 1)?;
        at_least("limits.max_queued_rows", max_queued_rows, max_append_rows)?;
        at_least("batch_rows", self.batch_rows, 1)?;
        at_least("outbox_rows", self.outbox_rows, max_append_rows)
    }
}
