//! Cost of computing on a device, by the rows that are computed together.

use std::time::Duration;

/// The weight of the past against a new measurement.
const HISTORY: f64 = 0.9;
/// A measurement beyond this factor of what is expected counts as that: something else had the
/// processor.
const ODD: f64 = 4.0;

/// Cost of computing: a fixed part, and a part for each row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Fixed part.
    pub base: Duration,
    /// Part for each row.
    pub per_row: Duration,
}

impl Cost {
    /// The cost of `rows` rows.
    #[must_use]
    pub fn of(self, rows: usize) -> Duration {
        self.base
            .saturating_add(self.per_row.saturating_mul(u32::try_from(rows).unwrap_or(u32::MAX)))
    }
}

/// A [`Cost`] fitted to measurements: least squares, in which measurements lose weight as they age.
#[derive(Clone, Debug, Default)]
pub(super) struct CostModel {
    weight: f64,
    rows: f64,
    seconds: f64,
    rows_rows: f64,
    rows_seconds: f64,
}

impl CostModel {
    /// Takes in that `rows` rows took `time`.
    pub(super) fn observe(&mut self, rows: usize, time: Duration) {
        if rows == 0 {
            return;
        }
        let in_proportion = self.seconds / self.rows * rows as f64;
        let bound = self
            .get()
            .map_or(f64::INFINITY, |cost| cost.of(rows).as_secs_f64().max(in_proportion) * ODD);
        let (rows, seconds) = (rows as f64, time.as_secs_f64().min(bound.max(1e-9)));
        let sums = [
            &mut self.weight,
            &mut self.rows,
            &mut self.seconds,
            &mut self.rows_rows,
            &mut self.rows_seconds,
        ];
        for (sum, sample) in sums.into_iter().zip([1.0, rows, seconds, rows * rows, rows * seconds])
        {
            *sum = *sum * HISTORY + sample;
        }
    }

    /// The fit; `None` before the first measurement. While all had the same number of rows, one
    /// row's share counts as the base.
    pub(super) fn get(&self) -> Option<Cost> {
        if self.weight == 0.0 {
            return None;
        }
        let (rows, seconds) = (self.rows / self.weight, self.seconds / self.weight);
        let spread = self.rows_rows / self.weight - rows * rows;
        let slope = if spread > 0.01 * rows * rows {
            (self.rows_seconds / self.weight - rows * seconds) / spread
        } else {
            (seconds - seconds / rows) / rows
        };
        let per_row = slope.clamp(0.0, seconds / rows);
        let duration =
            |seconds: f64| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
        Some(Cost { base: duration(seconds - per_row * rows), per_row: duration(per_row) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(samples: &[(usize, u64)]) -> Option<Cost> {
        let mut model = CostModel::default();
        samples.iter().for_each(|&(rows, us)| model.observe(rows, Duration::from_micros(us)));
        model.get()
    }

    fn near(cost: Option<Cost>, rows: usize, us: f64) {
        let found = cost.map_or(f64::NAN, |cost| cost.of(rows).as_secs_f64() * 1e6);
        assert!((found - us).abs() <= us * 0.01, "{found} {us}");
    }

    #[test]
    fn a_line_is_found() {
        let cost = fitted(&[(1, 110), (64, 740), (8, 180), (32, 420), (1, 110)]);
        near(cost, 100, 1100.0);
        near(cost, 1, 110.0);
    }

    #[test]
    fn one_size_is_its_own_measure() {
        assert_eq!(fitted(&[]), None);
        assert_eq!(fitted(&[(0, 5)]), None);
        near(fitted(&[(1, 100), (1, 100)]), 4, 100.0);
        near(fitted(&[(64, 6400)]), 64, 6400.0);
        near(fitted(&[(64, 6400)]), 1, 198.4);
    }

    #[test]
    fn one_stall_does_little_harm_and_a_change_is_followed() {
        let mut samples = vec![(1, 100); 30];
        samples.push((1, 1_000_000));
        let cost = fitted(&samples);
        assert!(cost.is_some_and(|cost| cost.of(1) < Duration::from_micros(140)), "{cost:?}");
        samples.extend([(1, 1000); 60]);
        assert!(fitted(&samples).is_some_and(|cost| cost.of(1) > Duration::from_micros(950)));
    }
}
