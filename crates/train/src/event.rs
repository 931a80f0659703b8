//! Events that a run tells while it goes on.

use std::{path::Path, time::Duration};

use crate::{accept::HeldOutReport, history::HistoryPoint};

/// One message of a run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The examples are read.
    Loaded {
        /// Examples to learn from.
        examples: usize,
        /// Prompts to measure with.
        held_out: usize,
    },
    /// The run goes on from a checkpoint.
    Resumed {
        /// Steps done before.
        step: u64,
        /// Tokens trained before.
        tokens: u64,
    },
    /// A step is done.
    Step(StepReport),
    /// The drafter was measured on the held-out prompts.
    Evaluated(&'a HistoryPoint),
    /// A checkpoint is written.
    Saved(&'a Path),
    /// The last measurement: the whole curve over thresholds.
    Finished(&'a HeldOutReport),
}

/// The state of a run after a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Steps done.
    pub step: u64,
    /// Tokens trained.
    pub tokens: u64,
    /// Trained tokens per second, over the last steps.
    pub tokens_per_s: f64,
    /// The loss of this step's batch.
    pub loss: f64,
    /// Its first term.
    pub smooth_l1: f64,
    /// Its second term, before weighting, in nats.
    pub cross_entropy: f64,
    /// The step's learning rate.
    pub learning_rate: f64,
    /// Share of the budget used, 0 to 1.
    pub progress: f64,
    /// Time left at this pace; not known at the start.
    pub left: Option<Duration>,
    /// Examples left out so far, because their prompt fills the context.
    pub skipped: u64,
}
