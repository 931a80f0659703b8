//! The shaper: transmits queued bytes at a rate.
//!
//! A packet has left when its last byte is transmitted. Within a busy period that is `since +
//! bytes / rate`, from the bytes of the whole period: however the bytes are cut and whenever
//! anybody looks, the rate is exact and no error adds up.

use std::time::Duration;

/// A rate, and how far transmission has come in a busy period.
#[derive(Debug)]
pub(super) struct Shaper {
    bytes_per_s: f64,
    /// Where the count of `transmitted` began.
    since: Duration,
    /// Bytes transmitted since then; below zero for those of the first queued packet that were
    /// transmitted before.
    transmitted: f64,
}

impl Shaper {
    /// An idle shaper.
    pub(super) fn new(bytes_per_s: f64, now: Duration) -> Self {
        Self { bytes_per_s, since: now, transmitted: 0.0 }
    }

    /// Begins a busy period: an idle shaper saves up no rate.
    pub(super) fn restart(&mut self, now: Duration) {
        self.since = now;
        self.transmitted = 0.0;
    }

    /// When `bytes` more will be transmitted.
    pub(super) fn finish(&self, bytes: f64) -> Duration {
        self.since
            + Duration::from_secs_f64(((self.transmitted + bytes) / self.bytes_per_s).max(0.0))
    }

    /// Transmits nothing for a time.
    pub(super) fn stall(&mut self, duration: Duration) {
        self.since += duration;
    }

    /// Transmits nothing until `now`.
    pub(super) fn pause_until(&mut self, now: Duration) {
        self.since = now;
    }

    /// A packet has left.
    pub(super) fn complete(&mut self, bytes: usize) {
        self.transmitted += bytes as f64;
    }

    /// Begins a new count at `now`, in the middle of a packet of `bytes`, and credits the packet
    /// with what of it is transmitted. To be called before the rate changes.
    pub(super) fn keep_progress(&mut self, now: Duration, bytes: usize) {
        let seconds = now.saturating_sub(self.since).as_secs_f64();
        let done = (seconds * self.bytes_per_s - self.transmitted).clamp(0.0, bytes as f64);
        self.since = now;
        self.transmitted = -done;
    }

    pub(super) fn set_rate(&mut self, bytes_per_s: f64) {
        self.bytes_per_s = bytes_per_s;
    }
}
