//! Forward pass of a batch on this thread of the runtime, throttled where that is wanted.

use std::time::{Duration, Instant};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};
use tricorn_core::Took;

use crate::{
    middle::{BatchEntry, MiddleModel},
    throttle::Throttle,
};

/// What became of a batch.
pub(crate) struct Computed<E> {
    pub(crate) outcome: Result<(), E>,
    pub(crate) took: Took,
}

/// A batch that is expected to take no longer than this runs where it is: another thread would be
/// woken for less than it costs to wake it.
pub(crate) const QUICK: Duration = Duration::from_millis(5);

/// Runs a batch on this thread of the runtime. A thread of the model's own would cost two wake-ups
/// a round trip, together about as long as a layer of a small model takes. While a batch runs that
/// is not quick, another thread serves the streams.
pub(crate) fn compute<M: MiddleModel>(
    model: &M,
    entries: &mut [BatchEntry<'_, M::Kv>],
    x: &mut [f32],
    expected: Duration,
    throttle: Option<Throttle>,
) -> Computed<M::Error> {
    let rows = entries.iter().map(|entry| entry.rows).sum::<usize>();
    let mut run = || {
        let start = Instant::now();
        let outcome = model.forward(entries, x);
        let least = throttle.map_or(Duration::ZERO, |throttle| throttle.of(rows));
        let spent = start.elapsed();
        if let Some(rest) = least.checked_sub(spent) {
            std::thread::sleep(rest);
        }
        let overran = throttle.is_some() && spent > least;
        Computed { outcome, took: Took { time: start.elapsed(), overran } }
    };
    let slow = throttle.is_some() || expected > QUICK;
    if slow && Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread {
        block_in_place(run)
    } else {
        run()
    }
}
