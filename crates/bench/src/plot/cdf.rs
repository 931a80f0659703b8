//! Cumulative distributions: the share of values that are at most so large.

use super::{Line, lines};
use crate::stats::{quantile, sorted};

/// Points of a curve; more cannot be told apart.
const POINTS: usize = 200;
/// The axis ends where nearly all values of every curve are left of it.
const SHOWN: f64 = 0.99;

/// A picture of the distributions of named samples.
pub(crate) fn cdf(
    title: &str,
    subtitle: &str,
    unit: &str,
    samples: &[(String, Vec<f64>)],
) -> String {
    let curves = samples.iter().map(|(name, values)| {
        let values = sorted(values.iter().copied());
        let shares = (0..=POINTS).map(|point| SHOWN * point as f64 / POINTS as f64);
        Line {
            name: name.clone(),
            points: shares.filter_map(|share| Some((quantile(&values, share)?, share))).collect(),
        }
    });
    lines(title, subtitle, (unit, "share of values"), &curves.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::svg::tests::is_well_formed;

    #[test]
    fn a_curve_for_every_sample_that_has_values() {
        let samples =
            [("hat".to_owned(), (0..50).map(f64::from).collect()), ("none".to_owned(), Vec::new())];
        let picture = cdf("TBT", "", "ms", &samples);
        is_well_formed(&picture);
        assert_eq!(picture.matches("<polyline").count(), 1);
    }
}
