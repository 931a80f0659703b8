//! Running a batch, on this thread and at a given pace.

use std::time::{Duration, Instant};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

use crate::middle::{BatchEntry, MiddleModel};

/// Emulates a slower server: a batch takes at least `base + per_row x rows`. It is computed for
/// real, the rest of the time is slept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Of every batch.
    pub base: Duration,
    /// Of every row in it.
    pub per_row: Duration,
}

impl Pace {
    /// What a batch of `rows` rows takes.
    #[must_use]
    pub fn of(&self, rows: usize) -> Duration {
        self.base.saturating_add(self.per_row.saturating_mul(rows.try_into().unwrap_or(u32::MAX)))
    }
}

/// What became of a batch.
pub(crate) struct Computed<E> {
    pub(crate) outcome: Result<(), E>,
    pub(crate) time: Duration,
    /// Whether it took longer than the pace that it was to keep.
    pub(crate) overran: bool,
}

/// A batch that is expected to take no longer than this runs where it is: another thread would be
/// woken for less than it costs to wake it.
pub(crate) const QUICK: Duration = Duration::from_millis(5);

/// Runs a batch on this thread of the runtime. A thread of the scheduler's own would cost two
/// wake-ups a round trip, together about as long as a layer of a small model takes. While a batch
/// runs that is not quick, another thread serves the streams.
pub(crate) fn compute<M: MiddleModel>(
    model: &M,
    entries: &mut [BatchEntry<'_, M::Kv>],
    x: &mut [f32],
    expected: Duration,
    pace: Option<Pace>,
) -> Computed<M::Error> {
    let rows = entries.iter().map(|entry| entry.rows).sum::<usize>();
    let mut run = || {
        let start = Instant::now();
        let outcome = model.forward(entries, x);
        let least = pace.map_or(Duration::ZERO, |pace| pace.of(rows));
        let spent = start.elapsed();
        if let Some(rest) = least.checked_sub(spent) {
            std::thread::sleep(rest);
        }
        Computed { outcome, time: start.elapsed(), overran: pace.is_some() && spent > least }
    };
    let slow = pace.is_some() || expected > QUICK;
    if slow && Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread {
        block_in_place(run)
    } else {
        run()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_grows_with_the_rows() {
        let pace = Pace { base: Duration::from_millis(20), per_row: Duration::from_micros(100) };
        assert_eq!(
            [0, 1, 512].map(|rows| pace.of(rows)),
            [20_000, 20_100, 71_200].map(Duration::from_micros)
        );
        assert_eq!(Pace { per_row: Duration::MAX, ..pace }.of(2), Duration::MAX);
    }
}
