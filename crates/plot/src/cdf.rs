//! Cumulative distributions: the share of values that are at most so large.

use crate::series::{Series, lines};

/// Points of a curve; more cannot be told apart.
const POINTS: usize = 200;
/// The axis ends where nearly all values of every curve are left of it.
const SHOWN: f64 = 0.99;

/// A picture of the distributions of named samples; values that are not finite do not count.
#[must_use]
pub fn cdf(title: &str, subtitle: &str, unit: &str, samples: &[(String, Vec<f64>)]) -> String {
    let curves = samples.iter().map(|(name, values)| {
        let values = sorted(values);
        let shares = (0..=POINTS).map(|point| SHOWN * point as f64 / POINTS as f64);
        Series {
            name: name.clone(),
            points: shares.filter_map(|share| Some((nearest(&values, share)?, share))).collect(),
        }
    });
    lines(title, subtitle, (unit, "share of values"), &curves.collect::<Vec<_>>())
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The smallest value that at least `share` of the sample do not exceed (nearest rank).
fn nearest(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::tests::is_well_formed;

    #[test]
    fn a_curve_for_every_sample_that_has_values() {
        let samples =
            [("hat".to_owned(), (0..50).map(f64::from).collect()), ("none".to_owned(), Vec::new())];
        let picture = cdf("TBT", "", "ms", &samples);
        is_well_formed(&picture);
        assert_eq!(picture.matches("<polyline").count(), 1);
    }
}
