//! The picture of a run's history: tokens per verification round against trained tokens, as SVG.

use tricorn_plot::{Curve, curve};

use crate::history::History;

/// The picture of a history; points are labelled with their values by a viewer's tooltips.
#[must_use]
pub fn svg(history: &History) -> String {
    let points: Vec<(f64, f64)> =
        history.points.iter().map(|point| (point.tokens as f64, point.tokens_per_round)).collect();
    curve(
        "Tokens per verification round",
        "held-out prompts, drafting to the maximum length",
        &Curve {
            points: &points,
            axis: "trained tokens",
            unit: "tokens",
            reaches: 1000.0,
            height: (1.0, 1.5),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::HistoryPoint;

    #[test]
    fn every_point_is_in_the_picture() {
        let points = [(0, 1.3), (100_000, 1.7), (200_000, 2.1)];
        let points = points.map(|(tokens, tokens_per_round)| HistoryPoint {
            step: 0,
            tokens,
            seconds: 0.0,
            loss: None,
            tokens_per_round,
        });
        let picture = svg(&History { points: points.to_vec() });
        assert_eq!(picture.matches("<circle").count(), 3);
        assert!(picture.contains(">2.10</text>") && picture.ends_with("</svg>\n"));
        assert!(!svg(&History::default()).contains("NaN"));
    }
}
