//! Throughput of a cloud: its waits and batch delays now, and the time that it spent on one append.

use std::time::Duration;

use super::{DelayPoint, delay::interpolate};

/// Speed of a cloud, as it reports it with its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudThroughput {
    /// What a prompt's append is expected to wait from the moment it could have run (it had arrived
    /// and the session's rows before it were done) to the start of its first batch.
    pub prompt_wait: Duration,
    /// What a verification is expected to wait, counted in the same way.
    pub verify_wait: Duration,
    /// Rows of others expected in the batch that an append joins; `mu` in HAT (arXiv 2503.18989).
    pub batch_rows: usize,
    /// Stages that the middle runs in, one after the other; at least 1. A pipeline of `P` stages
    /// takes a new batch `P` times per [`delay`](Self::delay).
    pub stages: usize,
    /// Rows of one prompt that a batch takes now, beside the others expected in it: longer appends
    /// are cut, and those that wait run together up to so many. `None` when the cloud does not say.
    pub prompt_rows: Option<usize>,
    /// `g`: the delay of a batch through all stages by its rows, in ascending order of rows. Empty
    /// when the cloud does not say.
    pub delay: Vec<DelayPoint>,
}

impl Default for CloudThroughput {
    /// A cloud that says nothing.
    fn default() -> Self {
        Self {
            prompt_wait: Duration::ZERO,
            verify_wait: Duration::ZERO,
            batch_rows: 0,
            stages: 1,
            prompt_rows: None,
            delay: Vec::new(),
        }
    }
}

impl CloudThroughput {
    /// The delay of a batch of `rows` rows through all stages; `None` when the cloud does not say.
    /// Interpolated as [`DelayModel::at`](super::DelayModel::at) does.
    #[must_use]
    pub fn batch_delay(&self, rows: usize) -> Option<Duration> {
        interpolate(&self.delay, rows)
    }
}

/// Times that the cloud spent on one append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerTiming {
    /// From its arrival to the start of its first batch.
    pub queue: Duration,
    /// From the start of the first batch it ran in to the end of the last.
    pub compute: Duration,
    /// Rows of all sessions in the last of these batches.
    pub batch_rows: usize,
    /// Appends in that batch.
    pub batch_appends: usize,
    /// How its bytes came in; `None` when they came in one read.
    pub received: Option<Received>,
}

/// An append's bytes as they came in at the cloud's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes after those of the first read, up to the last.
    pub bytes: u64,
    /// Time between the first read and the last.
    pub time: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_cloud_has_no_delay() {
        assert_eq!(CloudThroughput::default().batch_delay(8), None);
    }

    #[test]
    fn points_are_joined() {
        let point = |rows, delay| DelayPoint { rows, delay: Duration::from_millis(delay) };
        let throughput = CloudThroughput {
            delay: vec![point(1, 10), point(11, 20)],
            ..CloudThroughput::default()
        };
        assert_eq!(throughput.batch_delay(6), Some(Duration::from_millis(15)));
    }
}
