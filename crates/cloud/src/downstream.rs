//! The stage behind this one, when the middle runs in several.
//!
//! A [`Downstream`] is one connection to it. Whoever keeps the connection sends [`Command::Next`](crate::scheduler::Command::Next) with a new
//! one when it stands and with the reason when it is lost, and [`Command::Returned`](crate::scheduler::Command::Returned) for every batch.
//! All go through the scheduler's one queue, so a batch never meets another connection than the one that holds its sessions' rows.

use std::{fmt::Debug, time::Duration};

/// A connection to the next stage. Dropped when it is lost.
pub(crate) trait Downstream: Send + Debug {
    /// Hands over a batch; never blocks. At most [`window`](Self::window) batches are out at a time.
    ///
    /// # Errors
    /// When the connection is gone. The scheduler then ends every session and drops this connection.
    fn start(&mut self, batch: StageBatch) -> Result<(), StageLost>;

    /// Batches that may be out at a time: about as many as there are stages.
    fn window(&self) -> usize;

    /// Stages from the next one on: one fewer than the middle has.
    fn stages(&self) -> usize;
}

/// What the next stage computes on.
#[derive(Debug, PartialEq)]
pub(crate) struct StageBatch {
    /// Names the batch; grows.
    pub(crate) id: u64,
    /// Who shares it; each session at most once. Empty when there is only something to forget.
    pub(crate) entries: Vec<StageEntry>,
    /// The entries' rows one after the other, row-major, `hidden` values each: the exact output of this stage's layers.
    pub(crate) x: Vec<f32>,
    /// Sessions that ended since the batch before: their rows can be forgotten.
    pub(crate) closed: Vec<u64>,
}

/// One session's share of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StageEntry {
    /// Names the session on this connection; never used again for another.
    pub(crate) session: u64,
    /// Position of the first row. Truncates the session there.
    pub(crate) pos: usize,
    /// Number of rows.
    pub(crate) rows: usize,
    /// How many of its last rows must come back, 0 to `rows`.
    pub(crate) answer_rows: usize,
}

/// A batch through all later stages.
#[derive(Debug, PartialEq)]
pub(crate) struct StageAnswer {
    /// The batch's.
    pub(crate) id: u64,
    /// The answer rows of every entry that did not fail, in order.
    pub(crate) rows: Vec<f32>,
    /// Sessions that could not be computed, with a line for the device that says why; the others never notice.
    pub(crate) failed: Vec<(u64, String)>,
    /// The sum of what the later stages computed.
    pub(crate) compute: Duration,
}

/// The next stage cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a later stage of the middle is gone ({0}); reconnect and replay")]
pub(crate) struct StageLost(pub(crate) String);
