//! Series of points, as lines over two axes that begin at 0.

use crate::{
    axis::Axis,
    number::tick,
    svg::{Anchor, Margins, Svg, colour},
};

/// One line.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points in order; a line without points is not drawn.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 440.0;
const MARGINS: Margins = Margins { left: 64.0, right: 24.0, top: 110.0, bottom: 52.0 };

/// A picture of some `series`; `units` say what the axes show, across and up.
#[must_use]
pub fn lines(title: &str, subtitle: &str, units: (&str, &str), series: &[Series]) -> String {
    let mut svg = Svg::new(WIDTH, HEIGHT, title, subtitle);
    svg.legend(
        MARGINS.left,
        70.0,
        series.iter().enumerate().map(|(index, one)| (one.name.as_str(), colour(index))),
    );
    let greatest = |of: fn(&(f64, f64)) -> f64| {
        series.iter().flat_map(|one| one.points.iter().map(of)).fold(0.0, f64::max)
    };
    let (floor, end) = (HEIGHT - MARGINS.bottom, WIDTH - MARGINS.right);
    let x = Axis::new(0.0, greatest(|point| point.0), (MARGINS.left, end));
    let y = Axis::new(0.0, greatest(|point| point.1), (floor, MARGINS.top));
    for value in y.ticks() {
        svg.grid((MARGINS.left, y.at(value)), (end, y.at(value)));
        svg.text(MARGINS.left - 8.0, y.at(value) + 4.0, Anchor::End, &tick(value));
    }
    for value in x.ticks() {
        svg.grid((x.at(value), floor), (x.at(value), floor + 5.0));
        svg.text(x.at(value), floor + 20.0, Anchor::Middle, &tick(value));
    }
    svg.text((MARGINS.left + end) / 2.0, HEIGHT - 12.0, Anchor::Middle, units.0);
    svg.upright(18.0, (MARGINS.top + floor) / 2.0, units.1);
    for (index, one) in series.iter().enumerate().filter(|(_, one)| !one.points.is_empty()) {
        svg.polyline(
            one.points.iter().map(|&(across, up)| (x.at(across), y.at(up))),
            colour(index),
            &one.name,
        );
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::tests::is_well_formed;

    #[test]
    fn lines_lie_within_the_axes() {
        let line = |name: &str, points: &[(f64, f64)]| Series {
            name: name.to_owned(),
            points: points.to_vec(),
        };
        let picture = lines(
            "Chunks",
            "",
            ("ms", "rows"),
            &[line("hat", &[(0.0, 64.0), (100.0, 128.0)]), line("empty", &[])],
        );
        is_well_formed(&picture);
        assert_eq!(picture.matches("<polyline").count(), 1);
        is_well_formed(&lines("", "", ("", ""), &[]));
    }
}
