//! Answers of a middle, sessions opened on it, and traffic with it.

use std::time::Duration;
use tricorn_core::{AnswerTiming, CloudThroughput, DeepHeader, SessionLimits};

/// One append's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The append that is answered, and the rows that are carried.
    pub header: DeepHeader,
    /// The deep rows, `header.rows x hidden`.
    pub rows: Vec<f32>,
    /// Times that the cloud spent on it; zeros where there is none.
    pub timing: AnswerTiming,
    /// The cloud's throughput, by its own word.
    pub throughput: Option<CloudThroughput>,
    /// Bytes of the message; 0 where there is no wire.
    pub bytes: u64,
}

/// A session that was opened.
#[derive(Clone, Debug)]
pub struct Connected {
    /// Its limits.
    pub limits: SessionLimits,
    /// The round trip that opening it took; `None` where there is no wire.
    pub round_trip: Option<Duration>,
    /// The cloud's throughput, by its own word.
    pub throughput: Option<CloudThroughput>,
}

/// Bytes of messages sent and received, HTTP/2 framing not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Device to cloud.
    pub up: u64,
    /// Cloud to device.
    pub down: u64,
}

impl Traffic {
    /// The traffic since it was `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { up: self.up - before.up, down: self.down - before.down }
    }
}
