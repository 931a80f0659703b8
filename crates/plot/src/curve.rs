//! Curves of few points, each with its value as a tooltip.

use crate::{
    axis::Axis,
    number::tick,
    svg::{Anchor, Margins, Svg},
};

/// A curve and its axes.
#[derive(Clone, Debug)]
pub struct Curve<'c> {
    /// The points in order, across and up.
    pub points: &'c [(f64, f64)],
    /// What the axis across shows.
    pub axis: &'c str,
    /// What is counted across, for tooltips.
    pub unit: &'c str,
    /// The axis across ends at this or at the greatest value.
    pub reaches: f64,
    /// The axis up begins and ends at these; it ends at the greatest value where that is more.
    pub height: (f64, f64),
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const MARGINS: Margins = Margins { left: 60.0, right: 70.0, top: 56.0, bottom: 52.0 };
const COLOUR: &str = "#2563eb";

/// A picture of a curve; its last value is written beside it.
#[must_use]
pub fn curve(title: &str, subtitle: &str, curve: &Curve<'_>) -> String {
    let points = curve.points;
    let greatest = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).fold(0.0, f64::max);
    let (floor, end) = (HEIGHT - MARGINS.bottom, WIDTH - MARGINS.right);
    let x = Axis::new(0.0, greatest(|point| point.0).max(curve.reaches), (MARGINS.left, end));
    let (low, high) = curve.height;
    let y = Axis::new(low, greatest(|point| point.1).max(high), (floor, MARGINS.top));
    let mut svg = Svg::new(WIDTH, HEIGHT, title, subtitle);
    for value in y.ticks() {
        svg.grid((MARGINS.left, y.at(value)), (end, y.at(value)));
        svg.text(MARGINS.left - 8.0, y.at(value) + 4.0, Anchor::End, &tick(value));
    }
    for value in x.ticks() {
        svg.text(x.at(value), floor + 20.0, Anchor::Middle, &tick(value));
    }
    svg.text((MARGINS.left + end) / 2.0, HEIGHT - 10.0, Anchor::Middle, curve.axis);
    svg.polyline(points.iter().map(|&(across, up)| (x.at(across), y.at(up))), COLOUR, title);
    for &(across, up) in points {
        let tip = format!("{} {}: {up:.3}", tick(across), curve.unit);
        svg.dot(x.at(across), y.at(up), COLOUR, &tip);
    }
    if let Some(&(across, up)) = points.last() {
        svg.emphasis(x.at(across) + 8.0, y.at(up) + 4.0, COLOUR, &format!("{up:.2}"));
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::tests::is_well_formed;

    #[test]
    fn every_point_has_a_dot_and_the_last_its_value() {
        let points = [(0.0, 1.3), (100_000.0, 1.7), (200_000.0, 2.1)];
        let picture = |points| {
            let of = Curve {
                points,
                axis: "trained tokens",
                unit: "tokens",
                reaches: 1000.0,
                height: (1.0, 1.5),
            };
            curve("Tokens per round", "", &of)
        };
        let full = picture(&points);
        is_well_formed(&full);
        assert_eq!(full.matches("<circle").count(), 3);
        assert!(full.contains(">2.10</text>") && full.contains("100k tokens: 1.700"), "{full}");
        is_well_formed(&picture(&[]));
    }
}
