//! Figures of an engine: its counters and histograms.

use super::output::update::Finished;
use crate::transport::Traffic;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// An engine's counters, as `/metrics` shows them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Requests that a slot works on.
    pub running: u64,
    /// Requests that wait for a slot.
    pub waiting: u64,
    /// Requests that ended as they should.
    pub done: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests whose client went away or did not keep up.
    pub cancelled: u64,
    /// Requests refused because too many waited.
    pub refused: u64,
    /// Of the requests done, those that the device's drafter answered in part or whole.
    pub offline: u64,
    /// Slots that hold a conversation.
    pub conversations: u64,
    /// Bytes of KV caches on the device.
    pub kv_bytes: u64,
    /// Tokens of the prompts of requests done.
    pub prompt_tokens: u64,
    /// Of these, the ones that were neither computed nor uploaded again.
    pub cached_tokens: u64,
    /// Tokens generated in requests done.
    pub completion_tokens: u64,
    /// Verification rounds of requests done.
    pub rounds: u64,
    /// Tokens drafted in them.
    pub drafted: u64,
    /// Drafts that the model agreed with.
    pub accepted: u64,
    /// Connections to the cloud lost in them.
    pub lost_connections: u64,
    /// Bytes of messages sent to the cloud, for requests of every ending and those that run.
    pub bytes_up: u64,
    /// Bytes of messages received from it.
    pub bytes_down: u64,
    /// Time to first token, in seconds, from the submission.
    pub ttft: Histogram,
    /// Time between tokens, in seconds.
    pub tbt: Histogram,
}

/// Observations, counted by upper bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    counts: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

/// Upper bounds in seconds.
const BOUNDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

impl Histogram {
    fn observe(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        if let Some(count) = BOUNDS
            .iter()
            .position(|&bound| seconds <= bound)
            .and_then(|index| self.counts.get_mut(index))
        {
            *count += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }

    /// Upper bounds in seconds, each with the number of observations at or below it, as Prometheus
    /// counts them.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let sums = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        BOUNDS.into_iter().zip(sums)
    }

    /// Observations, those above the last bound included.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum in seconds.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum
    }
}

/// Totals over requests: bytes as they cross the wire, the rest when they end.
#[derive(Debug, Default)]
pub(super) struct Totals(Mutex<Figures>);

impl Totals {
    pub(super) fn get(&self) -> Figures {
        self.with(|figures| figures.clone())
    }

    pub(super) fn refused(&self) {
        self.with(|figures| figures.refused += 1);
    }

    pub(super) fn failed(&self) {
        self.with(|figures| figures.failed += 1);
    }

    pub(super) fn cancelled(&self) {
        self.with(|figures| figures.cancelled += 1);
    }

    pub(super) fn first_token(&self, after: Duration) {
        self.with(|figures| figures.ttft.observe(after));
    }

    /// This much has crossed the wire.
    pub(super) fn crossed(&self, traffic: Traffic) {
        self.with(|figures| {
            figures.bytes_up += traffic.up;
            figures.bytes_down += traffic.down;
        });
    }

    pub(super) fn done(&self, finished: &Finished) {
        let (report, count) = (&finished.report, |count: usize| count as u64);
        self.with(|figures| {
            figures.done += 1;
            figures.offline += u64::from(finished.offline);
            figures.prompt_tokens += count(finished.prompt_tokens);
            figures.cached_tokens += count(finished.cached_tokens);
            figures.completion_tokens += count(finished.completion_tokens);
            figures.rounds += count(report.stats.rounds);
            figures.drafted += count(report.stats.drafted);
            figures.accepted += count(report.stats.accepted);
            figures.lost_connections += count(report.stats.lost_connections);
            report.gaps.iter().for_each(|&gap| figures.tbt.observe(gap));
        });
    }

    fn with<R>(&self, use_it: impl FnOnce(&mut Figures) -> R) -> R {
        // A panic elsewhere leaves at worst one request half counted.
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_count_all_at_or_below_their_bound() {
        let mut histogram = Histogram::default();
        [1, 4, 4, 90_000]
            .map(Duration::from_millis)
            .into_iter()
            .for_each(|time| histogram.observe(time));
        let buckets: Vec<(f64, u64)> = histogram.buckets().collect();
        assert_eq!(buckets[..3], [(0.001, 1), (0.0025, 1), (0.005, 3)]);
        assert_eq!(buckets.last(), Some(&(30.0, 3)));
        assert_eq!(histogram.count(), 4);
        assert!((histogram.sum() - 90.009).abs() < 1e-9);
    }
}
