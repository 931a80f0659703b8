//! Throttle: a slower device, emulated. Everything is computed for real, and what is left of the
//! slower device's time is slept away.

use std::time::Duration;
use tricorn_core::Cost;

/// Least times of a device's operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceThrottle {
    /// The first layers, by rows.
    pub shallow: Cost,
    /// The drafter's taking in of a prompt's rows, by rows.
    pub take_in: Cost,
    /// One draft step (first layers, drafter and head), by the continuations drafted together.
    pub draft: Cost,
    /// The last layers and the head, by the rows of an answer.
    pub head: Cost,
}

/// The cost of one operation in a throttle.
pub(crate) type CostOf = fn(&DeviceThrottle) -> Cost;

/// Holds operations to a throttle, and counts those that took longer.
#[derive(Debug, Default)]
pub(crate) struct Throttler {
    throttle: Option<DeviceThrottle>,
    overruns: usize,
}

impl Throttler {
    pub(crate) fn new(throttle: Option<DeviceThrottle>) -> Self {
        Self { throttle, overruns: 0 }
    }

    /// An operation on `rows` rows is computed, after `elapsed`: returns when it may be over, with
    /// the time it took.
    pub(crate) fn finish(
        &mut self,
        of: CostOf,
        rows: usize,
        elapsed: impl Fn() -> Duration,
    ) -> Duration {
        let rest = self.rest(of, rows, elapsed());
        if !rest.is_zero() {
            std::thread::sleep(rest);
        }
        elapsed()
    }

    /// Time left of the throttle for an operation that was computed in `took`.
    fn rest(&mut self, of: CostOf, rows: usize, took: Duration) -> Duration {
        let Some(throttle) = &self.throttle else { return Duration::ZERO };
        let rest = of(throttle).of(rows).checked_sub(took);
        self.overruns += usize::from(rest.is_none());
        rest.unwrap_or_default()
    }

    /// Operations so far that took longer than the throttle.
    pub(crate) fn overruns(&self) -> usize {
        self.overruns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_takes_its_time_or_is_counted() {
        let ms = Duration::from_millis;
        let shallow = Cost { base: ms(2), per_row: ms(1) };
        let mut throttler =
            Throttler::new(Some(DeviceThrottle { shallow, ..DeviceThrottle::default() }));
        assert_eq!(
            (throttler.rest(|throttle| throttle.shallow, 3, ms(1)), throttler.overruns()),
            (ms(4), 0)
        );
        assert_eq!(
            (throttler.rest(|throttle| throttle.shallow, 3, ms(6)), throttler.overruns()),
            (ms(0), 1)
        );
        assert_eq!(
            (throttler.rest(|throttle| throttle.draft, 3, ms(1)), throttler.overruns()),
            (ms(0), 2)
        );
        let mut free = Throttler::default();
        assert_eq!((free.rest(|throttle| throttle.shallow, 3, ms(1)), free.overruns()), (ms(0), 0));
    }
}
