//! Throttle: emulates a slower server.

use std::time::Duration;

/// The speed of a slower server: a batch takes at least `base + per_row x rows`. It is computed for
/// real, the rest of the time is slept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    /// Of every batch.
    pub base: Duration,
    /// Of every row in it.
    pub per_row: Duration,
}

impl Throttle {
    /// What a batch of `rows` rows takes.
    #[must_use]
    pub fn of(&self, rows: usize) -> Duration {
        self.base.saturating_add(self.per_row.saturating_mul(rows.try_into().unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttled_batch_takes_longer_with_more_rows() {
        let throttle =
            Throttle { base: Duration::from_millis(20), per_row: Duration::from_micros(100) };
        assert_eq!(
            [0, 1, 512].map(|rows| throttle.of(rows)),
            [20_000, 20_100, 71_200].map(Duration::from_micros)
        );
        assert_eq!(Throttle { per_row: Duration::MAX, ..throttle }.of(2), Duration::MAX);
    }
}
