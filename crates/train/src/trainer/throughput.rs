//! Throughput of a run, and the time that it has left.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Tokens per second over the last steps.
#[derive(Debug, Default)]
pub(crate) struct Throughput {
    marks: VecDeque<(Instant, u64, f64)>,
}

impl Throughput {
    /// Steps looked back.
    const STEPS: usize = 20;

    /// Tokens per second, and the time until the whole budget is used.
    pub(crate) fn add(&mut self, tokens: u64, used: f64) -> (f64, Option<Duration>) {
        let now = Instant::now();
        self.marks.push_back((now, tokens, used));
        if self.marks.len() > Self::STEPS {
            self.marks.pop_front();
        }
        let Some(&(then, tokens_then, used_then)) =
            self.marks.front().filter(|_| self.marks.len() > 1)
        else {
            return (0.0, None);
        };
        let seconds = (now - then).as_secs_f64().max(1e-9);
        let left = (1.0 - used).max(0.0) * seconds / (used - used_then).max(1e-12);
        ((tokens - tokens_then) as f64 / seconds, Duration::try_from_secs_f64(left).ok())
    }
}
