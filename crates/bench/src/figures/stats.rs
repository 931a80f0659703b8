//! Means and quantiles.

use serde::Serialize;

/// A sample in five figures, in the sample's own unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Values in the sample.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
}

impl Summary {
    /// The figures of a sample; none of an empty one.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let sorted = sorted(values);
        Some(Self {
            count: sorted.len(),
            mean: sorted.iter().sum::<f64>() / sorted.len().max(1) as f64,
            p50: quantile(&sorted, 0.5)?,
            p90: quantile(&sorted, 0.9)?,
            p99: quantile(&sorted, 0.99)?,
        })
    }
}

/// Finite values in ascending order.
pub(crate) fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The smallest value that at least `share` (0 to 1) of the sample do not exceed (nearest rank);
/// none of an empty sample.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The middle value (nearest rank); none of an empty sample.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    quantile(&sorted(values), 0.5)
}

/// One mean over another; none where there is nothing to compare with.
pub(crate) fn ratio(value: Option<Summary>, base: Option<Summary>) -> Option<f64> {
    let (value, base) = (value?.mean, base?.mean);
    (base > 0.0).then_some(value / base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let summary = Summary::of((1..=100).rev().map(f64::from)).unwrap();
        assert_eq!(summary, Summary { count: 100, mean: 50.5, p50: 50.0, p90: 90.0, p99: 99.0 });
        assert_eq!(
            Summary::of([7.0]).unwrap(),
            Summary { count: 1, mean: 7.0, p50: 7.0, p90: 7.0, p99: 7.0 }
        );
        assert_eq!(quantile(&[1.0, 2.0], 0.0), Some(1.0));
    }

    #[test]
    fn nothing_has_no_figures() {
        assert_eq!(Summary::of([]), None);
        assert_eq!(Summary::of([f64::NAN]), None);
    }

    #[test]
    fn ratios_compare_means() {
        let of = |values: &[f64]| Summary::of(values.iter().copied());
        assert_eq!(ratio(of(&[1.0, 2.0, 6.0]), of(&[6.0, 6.0])), Some(0.5));
        assert_eq!(ratio(of(&[1.0]), of(&[0.0])), None);
        assert_eq!(ratio(None, of(&[1.0])), None);
    }
}
