//! Trace of a turn: its events with their times, and samples of what crossed the wire.

use std::time::Duration;
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
    /// An append was handed to the transport.
    Sent {
        /// Position of the first row.
        pos: usize,
        /// Number of rows.
        rows: usize,
        /// Bytes of the message; 0 where there is no wire.
        bytes: u64,
        /// Its purpose.
        kind: AppendKind,
        /// The time at which it was handed over.
        at: Duration,
    },
    /// An append's answer was taken in.
    Answered {
        /// The append's position.
        pos: usize,
        /// Deep rows carried.
        rows: usize,
        /// Bytes of the message; 0 where there is no wire.
        bytes: u64,
        /// The time at which it was looked at: later than its arrival where the device was busy.
        at: Duration,
        /// Times that the cloud spent on it.
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

/// Counters of a turn when an answer was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrace {
    /// Time since the turn began.
    pub elapsed: Duration,
    /// Bytes sent to the cloud since then.
    pub bytes_up: u64,
    /// Bytes received from it since then.
    pub bytes_down: u64,
    /// Tokens that the answer confirmed.
    pub tokens: usize,
    /// Tokens of the prompt that were not uploaded again.
    pub reused_tokens: usize,
}

/// A part of what crossed the wire, as anybody on the way could read it.
#[derive(Clone, Debug, PartialEq)]
pub struct WireSample {
    /// Position of the message's first row.
    pub pos: usize,
    /// The way it went.
    pub direction: Direction,
    /// Bytes of the message; 0 where there is no wire.
    pub bytes: u64,
    /// The first values of its first row, as the codec rounded them; at most 32.
    pub values: Vec<f32>,
}

/// The way of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Device to cloud.
    Up,
    /// Cloud to device.
    Down,
}

/// Samples kept of a turn.
const MAX_SAMPLES: usize = 16;
/// Values in a sample.
const SAMPLE_VALUES: usize = 32;

/// Collects a turn's events.
#[derive(Debug)]
pub(crate) struct Trace {
    events: Vec<TraceEvent>,
    /// `None` where none are to be kept.
    samples: Option<Vec<WireSample>>,
}

impl Trace {
    pub(crate) fn new(samples: bool) -> Self {
        Self { events: Vec::new(), samples: samples.then(Vec::new) }
    }

    /// Rows that crossed the wire.
    pub(crate) fn crossed(&mut self, direction: Direction, pos: usize, bytes: u64, rows: &[f32]) {
        if let Some(samples) =
            self.samples.as_mut().filter(|samples| samples.len() < MAX_SAMPLES && !rows.is_empty())
        {
            samples.push(WireSample {
                pos,
                direction,
                bytes,
                values: rows.iter().take(SAMPLE_VALUES).copied().collect(),
            });
        }
    }

    pub(crate) fn push(&mut self, event: TraceEvent) {
        self.events.push(event);
    }

    pub(crate) fn take(&mut self) -> Vec<TraceEvent> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn take_samples(&mut self) -> Vec<WireSample> {
        self.samples.take().unwrap_or_default()
    }
}
