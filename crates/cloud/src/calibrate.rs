//! Calibration: what batches take, measured before the first device comes.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use crate::{
    Throttle,
    compute::{QUICK, compute},
    middle::{BatchEntry, MiddleModel},
};

/// Sizes of the batches, and how often each is measured: once more than the first needs, since it
/// warms up.
const SIZES: [(usize, usize); 5] = [(1, 3), (8, 2), (32, 2), (128, 2), (256, 2)];

/// The time of batches of growing size, each the quickest of a few, on memory that is given back;
/// as many as fit into about `limit` and into `context`. A model that fails here will say so to the
/// session that it fails for.
pub(crate) fn calibrate<M: MiddleModel>(
    model: &M,
    context: usize,
    limit: Duration,
    throttle: Option<Throttle>,
) -> Vec<(usize, Duration)> {
    let measured = catch_unwind(AssertUnwindSafe(|| {
        let most = SIZES.into_iter().map(|(rows, _)| rows).max().unwrap_or_default();
        let mut kv = model.new_kv(context.min(most));
        measure(context, limit, |rows, expected| {
            model.prepare(&mut kv, 0, rows).ok()?;
            // Ordinary numbers: zeros may be quicker.
            let mut x: Vec<f32> =
                (0..rows * model.hidden()).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
            let computed = compute(
                model,
                &mut [BatchEntry { kv: &mut kv, pos: 0, rows }],
                &mut x,
                expected.max(QUICK * 2),
                throttle,
            );
            computed.outcome.ok().map(|()| computed.took.time)
        })
    }));
    measured.unwrap_or_default()
}

/// The quickest time of each size by `run`, which is given the rows and what they should take,
/// until it fails.
fn measure(
    context: usize,
    limit: Duration,
    mut run: impl FnMut(usize, Duration) -> Option<Duration>,
) -> Vec<(usize, Duration)> {
    let mut measured: Vec<(usize, Duration)> = Vec::new();
    let mut spent = Duration::ZERO;
    for (rows, times) in SIZES.into_iter().filter(|(rows, _)| *rows <= context) {
        for _ in 0..times {
            let (before, time) = measured.last().copied().unwrap_or((1, Duration::ZERO));
            // The time of a row only falls with their number.
            let expected = time.saturating_mul((rows / before).try_into().unwrap_or(u32::MAX));
            if spent.saturating_add(expected) >= limit {
                return measured;
            }
            let Some(time) = run(rows, expected) else { return measured };
            spent = spent.saturating_add(time);
            match measured.last_mut().filter(|(measured, _)| *measured == rows) {
                // A stall makes a batch slower and nothing makes it quicker.
                Some((_, quickest)) => *quickest = time.min(*quickest),
                None => measured.push((rows, time)),
            }
        }
    }
    measured
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of one value; no memory for more than 32.
    struct Small;

    impl MiddleModel for Small {
        type Kv = ();
        type Error = &'static str;

        fn hidden(&self) -> usize {
            1
        }

        fn new_kv(&self, context: usize) {
            assert!(context != 13, "a model that fails");
        }

        fn prepare(&self, (): &mut (), _: usize, rows: usize) -> Result<(), &'static str> {
            if rows > 32 { Err("no memory") } else { Ok(()) }
        }

        fn forward(&self, _: &mut [BatchEntry<'_, ()>], x: &mut [f32]) -> Result<(), &'static str> {
            assert!(x.iter().all(|value| value.is_finite()));
            Ok(())
        }
    }

    fn measured(context: usize, limit: Duration, throttle: Option<Throttle>) -> Vec<usize> {
        calibrate(&Small, context, limit, throttle).into_iter().map(|(rows, _)| rows).collect()
    }

    const AMPLE: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn stops_at_the_context_the_memory_and_the_limit() {
        assert_eq!(measured(1024, AMPLE, None), [1, 8, 32]);
        assert_eq!(measured(16, AMPLE, None), [1, 8]);
        assert!(measured(1024, Duration::ZERO, None).is_empty());
        // What takes longer than the limit is measured once.
        let slow = Throttle { base: Duration::from_millis(20), per_row: Duration::ZERO };
        assert_eq!(measured(1024, Duration::from_millis(10), Some(slow)), [1]);
    }

    #[test]
    fn one_stalled_batch_does_not_count() {
        let sound = |rows: usize| Duration::from_millis(10 + rows as u64);
        let expected: Vec<_> = SIZES.into_iter().map(|(rows, _)| (rows, sound(rows))).collect();
        for stalled in 0..SIZES.into_iter().map(|(_, times)| times).sum() {
            let mut batches = 0..;
            let run = |rows, _| {
                Some(if batches.next() == Some(stalled) {
                    Duration::from_secs(60)
                } else {
                    sound(rows)
                })
            };
            assert_eq!(measure(1024, AMPLE, run), expected, "{stalled}");
        }
    }

    #[tokio::test]
    async fn a_model_that_panics_is_left_for_later() {
        assert!(measured(13, AMPLE, None).is_empty());
    }
}
