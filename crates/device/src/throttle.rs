//! A slower device, emulated: everything is computed for real, and what is left of its time is
//! slept away.

use std::time::{Duration, Instant};
use tricorn_core::Cost;

/// How long a device's operations take at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DevicePace {
    /// The first layers, by rows.
    pub shallow: Cost,
    /// The drafter's taking in of a prompt's rows, by rows.
    pub take_in: Cost,
    /// One draft step (first layers, drafter and head), by the continuations drafted together.
    pub draft: Cost,
    /// The last layers and the head, by the rows of an answer.
    pub head: Cost,
}

/// An operation's cost in a pace.
pub(crate) type Of = fn(&DevicePace) -> Cost;

/// Holds operations to a pace, and counts those that were too slow for it.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    pace: Option<DevicePace>,
    overruns: usize,
}

impl Pacer {
    pub(crate) fn new(pace: Option<DevicePace>) -> Self {
        Self { pace, overruns: 0 }
    }

    /// An operation on `rows` rows began at `started` and is computed: returns when it may be over,
    /// with the time it took.
    pub(crate) fn finish(&mut self, of: Of, rows: usize, started: Instant) -> Duration {
        let rest = self.rest(of, rows, started.elapsed());
        if !rest.is_zero() {
            std::thread::sleep(rest);
        }
        started.elapsed()
    }

    /// What is left of the pace's time for an operation that was computed in `took`.
    fn rest(&mut self, of: Of, rows: usize, took: Duration) -> Duration {
        let Some(pace) = &self.pace else { return Duration::ZERO };
        let rest = of(pace).of(rows).checked_sub(took);
        self.overruns += usize::from(rest.is_none());
        rest.unwrap_or_default()
    }

    /// Operations so far that took longer than the pace.
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
        let mut pacer = Pacer::new(Some(DevicePace { shallow, ..DevicePace::default() }));
        assert_eq!((pacer.rest(|pace| pace.shallow, 3, ms(1)), pacer.overruns()), (ms(4), 0));
        assert_eq!((pacer.rest(|pace| pace.shallow, 3, ms(6)), pacer.overruns()), (ms(0), 1));
        assert_eq!((pacer.rest(|pace| pace.draft, 3, ms(1)), pacer.overruns()), (ms(0), 2));
        let mut free = Pacer::default();
        assert_eq!((free.rest(|pace| pace.shallow, 3, ms(1)), free.overruns()), (ms(0), 0));
    }
}
