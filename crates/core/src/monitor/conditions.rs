//! Conditions of a device: all that it knows of its surroundings, and that its policies decide by.

use std::time::Duration;

use super::{CloudThroughput, Cost};

/// Link, cloud and device as they were measured last; `None` is not known yet. No condition has an
/// influence on the text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    /// Bytes of one hidden row on the wire, either way.
    pub row_bytes: usize,
    /// Uplink rate, in bytes per second.
    pub uplink: Option<f64>,
    /// Round trip: what an append takes beyond its upload, its wait and its computing, the way of
    /// its answer included.
    pub rtt: Option<Duration>,
    /// What the cloud says about its speed.
    pub throughput: Option<CloudThroughput>,
    /// What the first layers take on this device.
    pub shallow: Option<Cost>,
    /// What one draft step takes on this device, by the number of continuations drafted together.
    pub draft: Option<Cost>,
    /// Tokens confirmed per second of decoding.
    pub tokens_per_second: Option<f64>,
}

/// What a message holds beside its rows, in bytes: fields of the contract, HTTP/2 frames, TCP and
/// IP headers.
const MESSAGE_BYTES: f64 = 120.0;

impl Conditions {
    /// Seconds to send an append of `rows` rows over the uplink.
    #[must_use]
    pub fn send_seconds(&self, rows: usize) -> Option<f64> {
        Some((rows as f64 * self.row_bytes as f64 + MESSAGE_BYTES) / self.uplink_rate()?)
    }

    /// Seconds that a batch takes in the cloud in which `rows` rows join those expected there:
    /// `g(mu + rows)`.
    #[must_use]
    pub fn batch_seconds(&self, rows: usize) -> Option<f64> {
        let throughput = self.throughput.as_ref()?;
        Some(throughput.batch_delay(throughput.batch_rows.saturating_add(rows))?.as_secs_f64())
    }

    /// Seconds from sending a verification of `rows` rows to its answer, at least: while the
    /// uplink's rate is not known, because no append was large enough to show it, the upload counts
    /// as nothing.
    #[must_use]
    pub fn verify_seconds(&self, rows: usize) -> Option<f64> {
        let wait = self.throughput.as_ref()?.verify_wait.as_secs_f64();
        Some(
            self.rtt?.as_secs_f64()
                + self.send_seconds(rows).unwrap_or(0.0)
                + wait
                + self.batch_seconds(rows)?,
        )
    }

    /// Seconds of one draft step for `branches` continuations at once.
    #[must_use]
    pub fn draft_seconds(&self, branches: usize) -> Option<f64> {
        Some(self.draft?.of(branches).as_secs_f64())
    }

    /// The uplink's rate, where it is one.
    #[must_use]
    pub fn uplink_rate(&self) -> Option<f64> {
        self.uplink.filter(|rate| rate.is_finite() && *rate > 0.0)
    }
}
