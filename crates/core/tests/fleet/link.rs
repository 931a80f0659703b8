//! Link of a device: packets in order, at a rate, after a delay.

use std::time::Duration;

/// One direction of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Direction {
    pub(crate) delay: Duration,
    pub(crate) per_row: Duration,
    /// Until then it sends what came before.
    busy_until: Duration,
    /// When the last packet arrives.
    last: Duration,
}

impl Direction {
    pub(crate) fn new(delay: Duration, per_row: Duration) -> Self {
        Self { delay, per_row, busy_until: Duration::ZERO, last: Duration::ZERO }
    }

    /// When a packet of `rows` rows arrives that is handed over at `now`, held up by `jitter`.
    pub(crate) fn arrival(&mut self, now: Duration, rows: usize, jitter: Duration) -> Duration {
        let sending = self.per_row * u32::try_from(rows).unwrap();
        self.busy_until = self.busy_until.max(now) + sending;
        self.last = self.last.max(self.busy_until + self.delay + jitter);
        self.last
    }
}
