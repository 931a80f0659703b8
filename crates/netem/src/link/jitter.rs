//! Jitter: the delay of the moment.

use super::rng::Rng;
use std::time::Duration;

/// Delay variation that holds for as long as it is wide: drawn for every packet, the longest would
/// always win, since nothing overtakes.
#[derive(Debug, Default)]
pub(super) struct Jitter {
    /// Of the most, -1 to 1.
    share: f64,
    until: Duration,
}

impl Jitter {
    /// The delay of a packet that leaves at `departure`: `delay` and at most `most` more or less.
    pub(super) fn delay_at(
        &mut self,
        departure: Duration,
        delay: Duration,
        most: Duration,
        rng: &mut Rng,
    ) -> Duration {
        if most.is_zero() {
            return delay;
        }
        if departure >= self.until {
            *self = Self { share: 2.0 * rng.uniform() - 1.0, until: departure + 2 * most };
        }
        let shift = most.mul_f64(self.share.abs());
        if self.share < 0.0 { delay.saturating_sub(shift) } else { delay + shift }
    }
}
