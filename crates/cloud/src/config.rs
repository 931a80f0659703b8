//! Configuration of a cloud.

use std::{net::SocketAddr, ops::Range, time::Duration};

use tricorn_core::{Schedule, SessionLimits};

use crate::{CloudError, Throttle};

/// A cloud's settings. Rows are tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudConfig {
    /// Where to listen; port 0 takes any free port.
    pub listen: SocketAddr,
    /// Sessions at a time.
    pub max_sessions: usize,
    /// Connections at a time; a device has one for each session, and one to ask what is served.
    /// More are closed at once.
    pub max_connections: usize,
    /// What each session is held to.
    pub limits: SessionLimits,
    /// Most rows in one forward pass; see
    /// [`BatchLimits::max_rows`](tricorn_core::BatchLimits::max_rows).
    pub batch_rows: usize,
    /// How prompts share a batch with verifications.
    pub schedule: Schedule,
    /// The time between two verifications that the cloud should allow for: prompts are cut so that
    /// a batch takes no longer than half of it, since a verification waits for the batch that runs
    /// and then for its own.
    pub tbt_target: Duration,
    /// About how long [`Cloud::calibrate`](crate::Cloud::calibrate) may measure batches before the
    /// first device comes, so that it learns what a batch takes: no batch is begun that should end
    /// later. Zero for not at all.
    pub calibration: Duration,
    /// Makes every batch take as long as on a slower server, for benchmarks.
    pub throttle: Option<Throttle>,
    /// Answers, in rows, that wait for a device to read them before it is dropped as too slow.
    pub outbox_rows: usize,
    /// A session from which nothing was heard for this long is ended.
    pub idle_timeout: Duration,
    /// How long a new connection may take to say that it speaks HTTP/2, and a new stream to say
    /// `Open`.
    pub open_timeout: Duration,
    /// How long [`Cloud::serve`](crate::Cloud::serve) waits for answers and devices once it is told
    /// to stop.
    pub drain_timeout: Duration,
    /// The layers that run here, counted in the whole model; `None` for the whole middle.
    pub held: Option<Range<usize>>,
    /// The cloud that holds the layers after these, `http://HOST:PORT`; `None` when these are the
    /// middle's last.
    pub next: Option<String>,
    /// A next stage that leaves a batch unanswered for this long is taken for dead.
    pub next_deadline: Duration,
}

impl CloudConfig {
    /// Settings that suit a small cloud for a model of `context` tokens.
    #[must_use]
    pub fn new(listen: SocketAddr, context: usize) -> Self {
        Self {
            listen,
            max_sessions: 64,
            max_connections: 4096,
            limits: SessionLimits { context, max_append_rows: 512, max_queued_rows: 2048 },
            batch_rows: 512,
            schedule: Schedule::Chunked,
            tbt_target: Duration::from_millis(100),
            calibration: Duration::from_millis(500),
            throttle: None,
            outbox_rows: 4096,
            idle_timeout: Duration::from_secs(300),
            open_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            held: None,
            next: None,
            next_deadline: Duration::from_secs(30),
        }
    }

    /// Rows in the largest batch there can be: over `batch_rows`, the oldest verification and the
    /// oldest prompt run all the same, and what a session runs at once was queued.
    pub(crate) fn max_batch_rows(&self) -> usize {
        self.batch_rows.saturating_add(self.limits.max_queued_rows.saturating_mul(2))
    }

    pub(crate) fn check(&self) -> Result<(), CloudError> {
        let SessionLimits { context, max_append_rows, max_queued_rows } = self.limits;
        let at_least = |field, value: usize, least: usize| {
            if value >= least { Ok(()) } else { Err(CloudError::Config { field, value, least }) }
        };
        at_least("max_sessions", self.max_sessions, 1)?;
        at_least("max_connections", self.max_connections, 1)?;
        at_least("limits.context", context, 1)?;
        at_least("limits.max_append_rows", max_append_rows, 1)?;
        at_least("limits.max_queued_rows", max_queued_rows, max_append_rows)?;
        at_least("batch_rows", self.batch_rows, 1)?;
        at_least("outbox_rows", self.outbox_rows, max_append_rows)
    }
}
