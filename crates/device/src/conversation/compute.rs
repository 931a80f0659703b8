//! Compute: the device's processor as a conversation uses it, throttled and measured.

use super::clock::Clock;
use crate::{
    monitor::SharedMonitor,
    processor::{Lease, Processor},
    throttle::{CostOf, Throttler},
    transport::Connected,
    turn::Options,
};
use std::time::Duration;
use tricorn_core::{Answered, Conditions, driver::RoundTime};

/// A conversation's share of the device's processor, and what is measured on it and on the way to
/// the cloud.
#[derive(Debug)]
pub(super) struct Compute {
    processor: Processor,
    throttler: Throttler,
    monitor: SharedMonitor,
    /// Bytes of a hidden row on the wire, at most.
    row_bytes: usize,
}

impl Compute {
    pub(super) fn new(options: Options, row_bytes: usize) -> Self {
        Self {
            processor: options.processor,
            throttler: Throttler::new(options.throttle),
            monitor: options.monitor.unwrap_or_default(),
            row_bytes,
        }
    }

    /// Waits for the processor.
    pub(super) fn lease(&self) -> Lease {
        self.processor.lease()
    }

    /// First layers of `rows` rows began at `start` and are computed. Gives the time they took.
    pub(super) fn shallow(&mut self, rows: usize, clock: &Clock, start: Duration) -> Duration {
        let time = self.finish(|throttle| throttle.shallow, rows, clock, start);
        self.monitor.lock().shallow(rows, time);
        time
    }

    /// The drafter has taken in `rows` rows of a prompt.
    pub(super) fn taken_in(&mut self, rows: usize, clock: &Clock, start: Duration) {
        self.finish(|throttle| throttle.take_in, rows, clock, start);
    }

    /// A draft step of `rows` rows is computed. Gives the time it took.
    pub(super) fn drafted(&mut self, rows: usize, clock: &Clock, start: Duration) -> Duration {
        let time = self.finish(|throttle| throttle.draft, rows, clock, start);
        self.monitor.lock().drafted(rows, time);
        time
    }

    /// The logits of an answer's `rows` rows are computed.
    pub(super) fn judged(&mut self, rows: usize, clock: &Clock, start: Duration) {
        self.finish(|throttle| throttle.head, rows, clock, start);
    }

    /// An append was sent.
    pub(super) fn sent(&self, rows: usize, bytes: u64) {
        self.monitor.lock().sent(rows, bytes);
    }

    /// A session was opened.
    pub(super) fn connected(&self, Connected { round_trip, throughput, .. }: Connected) {
        self.monitor.lock().connected(round_trip, throughput);
    }

    /// An append was answered. Gives what is known then.
    pub(super) fn answered(&self, answered: Answered) -> Conditions {
        let mut monitor = self.monitor.lock();
        monitor.answered(answered);
        monitor.conditions(self.row_bytes)
    }

    /// A verification round is over.
    pub(super) fn round(&self, RoundTime { tokens, time }: RoundTime) {
        self.monitor.lock().round(tokens, time);
    }

    /// Conditions of device, link and cloud, as far as they are known now.
    pub(super) fn conditions(&self) -> Conditions {
        self.monitor.lock().conditions(self.row_bytes)
    }

    /// Operations so far that took longer than the throttle.
    pub(super) fn overruns(&self) -> usize {
        self.throttler.overruns()
    }

    fn finish(&mut self, of: CostOf, rows: usize, clock: &Clock, start: Duration) -> Duration {
        self.throttler.finish(of, rows, || clock.now().saturating_sub(start))
    }
}
