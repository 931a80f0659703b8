//! When a turn did what.

use std::time::{Duration, Instant};
use tricorn_core::{AnswerTiming, AppendKind};

/// One thing a turn did. Times count from the turn's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceEvent {
    /// Shallow rows were computed.
    Shallow {
        /// Position of the first row.
        pos: usize,
        /// Number of rows.
        rows: usize,
        /// Begin.
        start: Duration,
        /// End.
        end: Duration,
    },
    /// An append was handed to the link.
    Sent {
        /// Position of the first row.
        pos: usize,
        /// Number of rows.
        rows: usize,
        /// Bytes of the message; 0 where there is no wire.
        bytes: u64,
        /// What it is for.
        kind: AppendKind,
        /// When it was handed over.
        at: Duration,
    },
    /// An append's answer was taken in.
    Answered {
        /// The append's position.
        pos: usize,
        /// Deep rows carried.
        rows: usize,
        /// When it was looked at, which is later than its arrival where the device was busy.
        at: Duration,
        /// Where the cloud spent its time.
        timing: AnswerTiming,
    },
    /// A draft step.
    Drafted {
        /// Begin.
        start: Duration,
        /// End.
        end: Duration,
        /// Continuations drafted beside the round in this step; 0 for the round itself.
        branches: usize,
    },
    /// An answer's rows went through the last layers and head, and its tokens were confirmed.
    Judged {
        /// Begin.
        start: Duration,
        /// End.
        end: Duration,
        /// Tokens confirmed.
        tokens: usize,
    },
}

/// Collects a turn's events.
#[derive(Debug)]
pub(crate) struct Trace {
    started: Instant,
    events: Vec<TraceEvent>,
}

impl Trace {
    pub(crate) fn new(started: Instant) -> Self {
        Self { started, events: Vec::new() }
    }

    pub(crate) fn push(&mut self, event: TraceEvent) {
        self.events.push(event);
    }

    /// The turn's time at `instant`.
    pub(crate) fn at(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.started)
    }

    /// The turn's time now.
    pub(crate) fn now(&self) -> Duration {
        self.at(Instant::now())
    }

    pub(crate) fn take(&mut self) -> Vec<TraceEvent> {
        std::mem::take(&mut self.events)
    }
}
