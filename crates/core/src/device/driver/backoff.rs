//! Back-off: the waits between tries.

use std::time::Duration;

/// Waits that double from `first` up to `most`, a bounded number of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
    /// Number of waits, so one less than the number of tries.
    pub retries: usize,
}

impl Default for Backoff {
    /// Six tries in about six seconds: long enough for a cloud that is being restarted.
    fn default() -> Self {
        Self { first: Duration::from_millis(200), most: Duration::from_secs(3), retries: 5 }
    }
}

impl Backoff {
    /// The waits in order.
    pub fn waits(self) -> impl Iterator<Item = Duration> {
        std::iter::successors(Some(self.first), |wait| Some(*wait * 2))
            .map(move |wait| wait.min(self.most))
            .take(self.retries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<u128> = Backoff::default().waits().map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3000]);
    }
}
