//! A slower device, emulated: everything is computed for real, and what is left of its time is slept away.

use std::time::{Duration, Instant};
use tricorn_core::Cost;

/// How long a device's operations take at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DevicePace {
    /// The first layers, by rows.
    pub shallow: Cost,
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

    /// An operation on `rows` rows began at `started` and is computed: returns when it may be over, with the time it took.
    pub(crate) fn finish(&mut self, of: Of, rows: usize, started: Instant) -> Duration {
        if let Some(pace) = &self.pace {
            match of(pace).of(rows).checked_sub(started.elapsed()) {
                Some(rest) => std::thread::sleep(rest),
                None => self.overruns += 1,
            }
        }
        started.elapsed()
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
        let shallow = Cost { base: Duration::from_millis(2), per_row: Duration::from_millis(1) };
        let mut pacer = Pacer::new(Some(DevicePace { shallow, ..DevicePace::default() }));
        assert!(pacer.finish(|pace| pace.shallow, 3, Instant::now()) >= Duration::from_millis(5));
        assert_eq!(pacer.overruns(), 0);
        let started = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        assert!(pacer.finish(|pace| pace.draft, 3, started) >= Duration::from_millis(1));
        assert_eq!(pacer.overruns(), 1);
        assert_eq!(
            {
                Pacer::default().finish(|pace| pace.head, 1, started);
                Pacer::default().overruns()
            },
            0
        );
    }
}
