//! What batches take, measured before the first device comes.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use crate::{
    Pace,
    compute::{QUICK, compute},
    middle::{BatchEntry, MiddleModel},
};

/// Sizes of the batches. The first one warms up, and counts only when there is no time for another.
const ROWS: [usize; 6] = [1, 1, 8, 32, 128, 256];

/// The time of batches of growing size, on memory that is given back; as many as fit into `limit` and `context`. A model that fails here
/// will say so to the session that it fails for.
pub(crate) fn calibrate<M: MiddleModel>(model: &M, context: usize, limit: Duration, pace: Option<Pace>) -> Vec<(usize, Duration)> {
    let measured = catch_unwind(AssertUnwindSafe(|| measure(model, context, limit, pace)));
    measured.unwrap_or_default()
}

fn measure<M: MiddleModel>(model: &M, context: usize, limit: Duration, pace: Option<Pace>) -> Vec<(usize, Duration)> {
    let mut measured: Vec<(usize, Duration)> = Vec::new();
    let mut kv = model.new_kv(context.min(ROWS.into_iter().max().unwrap_or_default()));
    let (mut spent, mut last) = (Duration::ZERO, (1, Duration::ZERO));
    for (index, rows) in ROWS.into_iter().enumerate() {
        // The time of a row only falls with their number.
        let expected = last.1.saturating_mul((rows / last.0).try_into().unwrap_or(u32::MAX));
        if rows > context || spent.saturating_add(expected) >= limit || model.prepare(&mut kv, 0, rows).is_err() {
            break;
        }
        // Ordinary numbers: zeros may be quicker.
        let mut x: Vec<f32> = (0..rows * model.hidden()).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
        let computed = compute(model, &mut [BatchEntry { kv: &mut kv, pos: 0, rows }], &mut x, expected.max(QUICK * 2), pace);
        if computed.outcome.is_err() {
            break;
        }
        spent += computed.time;
        last = (rows, computed.time);
        if index == 1 {
            measured.clear();
        }
        measured.push(last);
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

    fn measured(context: usize, limit: Duration, pace: Option<Pace>) -> Vec<usize> {
        calibrate(&Small, context, limit, pace).into_iter().map(|(rows, _)| rows).collect()
    }

    const AMPLE: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn stops_at_the_context_the_memory_and_the_limit() {
        assert_eq!(measured(1024, AMPLE, None), [1, 8, 32]);
        assert_eq!(measured(16, AMPLE, None), [1, 8]);
        assert!(measured(1024, Duration::ZERO, None).is_empty());
        // What takes longer than the limit is measured once.
        let slow = Pace { base: Duration::from_millis(20), per_row: Duration::ZERO };
        assert_eq!(measured(1024, Duration::from_millis(10), Some(slow)), [1]);
    }

    #[tokio::test]
    async fn a_model_that_panics_is_left_for_later() {
        assert!(measured(13, AMPLE, None).is_empty());
    }
}
