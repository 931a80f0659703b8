//! Downstream: the stage behind this one, when the middle runs in several.
//!
//! A [`Downstream`] is one connection to it. Whoever keeps the connection tells in [`NextEvent`]s
//! of every batch that comes back, of the connection's loss and of the new one. All go through the
//! one queue of the model's owner, so a batch never meets another connection than the one that
//! holds its sessions' rows.

use std::{fmt::Debug, time::Duration};

use tricorn_core::StageEntry;
use tricorn_wire::Failure;

/// A connection to the next stage. Dropped when it is lost.
pub(crate) trait Downstream: Send + Debug {
    /// Hands over a batch; never blocks. At most [`window`](Self::window) batches are out at a
    /// time.
    ///
    /// # Errors
    /// When the connection is gone. The scheduler then ends every session and drops this
    /// connection.
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
    /// Who shares it; each session at most once. Empty when there is only something to forget. A
    /// session's name on this connection is never used again for another.
    pub(crate) entries: Vec<StageEntry>,
    /// The entries' rows one after the other, row-major, `hidden` values each: the exact output of
    /// this stage's layers.
    pub(crate) x: Vec<f32>,
    /// Sessions that ended since the batch before: their rows can be forgotten.
    pub(crate) closed: Vec<u64>,
}

/// A batch through all later stages.
#[derive(Debug, PartialEq)]
pub(crate) struct StageAnswer {
    /// The batch's.
    pub(crate) id: u64,
    /// The answer rows of every entry that did not fail, in order.
    pub(crate) rows: Vec<f32>,
    /// Sessions that could not be computed, and why; the others never notice.
    pub(crate) failed: Vec<(u64, Failure)>,
    /// The sum of what the later stages computed.
    pub(crate) compute: Duration,
    /// The sum of what the batch waited for them.
    pub(crate) queue: Duration,
}

/// What the keeper of the connection says; every owner of a model has a command for it.
#[derive(Debug)]
pub(crate) enum NextEvent {
    /// The connection stands anew, or is lost.
    Connection(Result<Box<dyn Downstream>, StageLost>),
    /// A batch has come back.
    Answer(StageAnswer),
}

/// The next stage cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a later stage of the middle is gone ({0}); reconnect and replay")]
pub(crate) struct StageLost(pub(crate) String);
