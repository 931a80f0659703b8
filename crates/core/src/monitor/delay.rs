//! Delay of a batch by its rows, `g(n)`, learnt from the batches that ran.

use std::time::Duration;

use super::Average;

/// Batches of `2^i .. 2^(i+1)` rows share a bucket; the last takes all beyond.
const BUCKETS: usize = 18;
/// No batch is larger than this.
const MOST_ROWS: usize = 1 << 24;

/// One point of `g`: a batch of `rows` rows takes `delay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayPoint {
    /// Rows of the batch.
    pub rows: usize,
    /// What it takes, from its start to its end.
    pub delay: Duration,
}

/// The delay of a batch by its rows, `g(n)` in HAT (arXiv 2503.18989), fitted as batches run.
///
/// Buckets of doubling size each average rows and delay; the points are made monotone by pooling
/// neighbours that fall (isotonic regression, weighted by the batches seen, so that a bucket that
/// stalled once and is hardly used counts little), and joined by straight lines.
#[derive(Clone, Debug, Default)]
pub struct DelayModel {
    buckets: [Bucket; BUCKETS],
    fitted: Vec<DelayPoint>,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    rows: Average,
    seconds: Average,
    /// Batches seen.
    weight: f64,
}

impl DelayModel {
    /// Takes in that a batch of `rows` rows took `delay`. A batch without rows says nothing.
    pub fn observe(&mut self, rows: usize, delay: Duration) {
        let Some(bucket) = rows
            .checked_ilog2()
            .and_then(|log| self.buckets.get_mut((log as usize).min(BUCKETS - 1)))
        else {
            return;
        };
        bucket.rows.add(rows as f64);
        bucket.seconds.add(delay.as_secs_f64());
        bucket.weight += 1.0;
        self.fit();
    }

    /// The delay of a batch of `rows` rows; `None` before the first batch.
    ///
    /// Between points along the line; below the first point its delay, since a batch has a cost of
    /// its own; beyond the last at the steeper of the last line and the line from first to last, or
    /// in proportion when there is one point only.
    #[must_use]
    pub fn at(&self, rows: usize) -> Option<Duration> {
        interpolate(&self.fitted, rows)
    }

    /// The most rows whose delay keeps to `target`; 0 when a single row does not, `None` before the
    /// first batch.
    #[must_use]
    pub fn rows_within(&self, target: Duration) -> Option<usize> {
        self.at(1)?;
        let (mut fits, mut over) = (0, MOST_ROWS);
        while over - fits > 1 {
            let rows = fits + (over - fits) / 2;
            if self.at(rows)? <= target { fits = rows } else { over = rows }
        }
        Some(fits)
    }

    /// The fitted points, in ascending order of rows, delays never falling; at most 18.
    #[must_use]
    pub fn points(&self) -> Vec<DelayPoint> {
        self.fitted.clone()
    }

    fn fit(&mut self) {
        // (mean delay, weight, points pooled): pool adjacent violators.
        let mut pools: Vec<(f64, f64, usize)> = Vec::with_capacity(BUCKETS);
        self.fitted.clear();
        let seen = self
            .buckets
            .iter()
            .filter_map(|bucket| Some((bucket.rows.get()?, bucket.seconds.get()?, bucket.weight)));
        for (rows, seconds, weight) in seen {
            self.fitted.push(DelayPoint { rows: rows.round() as usize, delay: Duration::ZERO });
            let mut last = (seconds, weight, 1);
            while let Some((mean, weight, count)) = pools.pop_if(|(mean, ..)| *mean > last.0) {
                let both = weight + last.1;
                last = ((mean * weight + last.0 * last.1) / both, both, count + last.2);
            }
            pools.push(last);
        }
        let delays = pools.iter().flat_map(|&(mean, _, count)| std::iter::repeat_n(mean, count));
        self.fitted
            .iter_mut()
            .zip(delays)
            .for_each(|(point, seconds)| point.delay = duration(seconds));
    }
}

/// The delay of `rows` rows by `points`, which ascend in rows; see [`DelayModel::at`].
pub(super) fn interpolate(points: &[DelayPoint], rows: usize) -> Option<Duration> {
    let (first, last) = (points.first()?, points.last()?);
    let above = points.partition_point(|point| point.rows < rows);
    Some(match (above.checked_sub(1).and_then(|below| points.get(below)), points.get(above)) {
        (None, _) => first.delay,
        (Some(below), Some(point)) => along(below, slope(below, point), rows),
        (Some(_), None) => {
            let before = points.len().checked_sub(2).and_then(|index| points.get(index));
            let steepest = before.map_or_else(
                || last.delay.as_secs_f64() / last.rows.max(1) as f64,
                |before| slope(before, last).max(slope(first, last)),
            );
            along(last, steepest.max(0.0), rows)
        }
    })
}

/// Seconds a row.
fn slope(from: &DelayPoint, to: &DelayPoint) -> f64 {
    (to.delay.as_secs_f64() - from.delay.as_secs_f64())
        / to.rows.saturating_sub(from.rows).max(1) as f64
}

fn along(from: &DelayPoint, slope: f64, rows: usize) -> Duration {
    duration(from.delay.as_secs_f64() + slope * rows.saturating_sub(from.rows) as f64)
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn fitted(samples: &[(usize, u64)]) -> DelayModel {
        let mut model = DelayModel::default();
        samples.iter().for_each(|&(rows, delay)| model.observe(rows, ms(delay)));
        model
    }

    #[test]
    fn nothing_is_known_before_the_first_batch() {
        let model = fitted(&[(0, 10)]);
        assert_eq!((model.at(1), model.rows_within(ms(1)), model.points()), (None, None, vec![]));
    }

    #[test]
    fn lines_between_points_and_beyond() {
        let model = fitted(&[(4, 10), (16, 22), (64, 70)]);
        assert_eq!(
            [1, 4, 10, 16, 40, 64, 128].map(|rows| model.at(rows)),
            [10, 10, 16, 22, 46, 70, 134].map(|delay| Some(ms(delay)))
        );
        assert_eq!(fitted(&[(8, 16)]).at(16), Some(ms(32)));
        assert_eq!(model.points().iter().map(|point| point.rows).collect::<Vec<_>>(), [4, 16, 64]);
    }

    #[test]
    fn the_inverse_agrees() {
        let model = fitted(&[(4, 10), (16, 22), (64, 70)]);
        assert_eq!(model.rows_within(ms(9)), Some(0));
        for target in [10, 16, 22, 46, 70, 134] {
            let rows = model.rows_within(ms(target)).unwrap_or_default();
            assert!(
                model.at(rows) <= Some(ms(target)) && model.at(rows + 1) > Some(ms(target)),
                "{target} ms: {rows} rows"
            );
        }
    }

    #[test]
    fn never_falls() {
        let model = fitted(&[(2, 30), (8, 10), (32, 20), (128, 90)]);
        let delays: Vec<Duration> = model.points().iter().map(|point| point.delay).collect();
        assert_eq!(delays, [ms(20), ms(20), ms(20), ms(90)]);
        assert!((1..400).all(|rows| model.at(rows) <= model.at(rows + 1)));
        // A pooled end does not make larger batches free.
        let flat = fitted(&[(2, 10), (64, 90), (128, 70)]);
        assert!(flat.at(1024) > Some(ms(400)), "{:?}", flat.at(1024));
    }

    #[test]
    fn what_is_seen_often_outweighs_one_stall() {
        let mut model = fitted(&[(8, 5000), (16, 26), (64, 74)]);
        (0..500).for_each(|_| model.observe(16, ms(26)));
        assert!(model.at(16).is_some_and(|delay| delay < ms(40)), "{:?}", model.at(16));
    }

    #[test]
    fn follows_a_server_that_becomes_slower() {
        let mut model = fitted(&[(8, 10)]);
        (0..30).for_each(|_| model.observe(8, ms(20)));
        assert!(
            model.at(8).is_some_and(|delay| delay > ms(19) && delay <= ms(20)),
            "{:?}",
            model.at(8)
        );
    }
}
