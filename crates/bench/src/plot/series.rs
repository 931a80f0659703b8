//! Lines over two axes that begin at 0.

use super::{
    axis::{Axis, short},
    colour,
    svg::{Anchor, Margins, Svg},
};

/// One line.
pub(crate) struct Line {
    /// Its name in the legend.
    pub(crate) name: String,
    /// Its points in order; a line without points is not drawn.
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 440.0;
const MARGINS: Margins = Margins { left: 64.0, right: 24.0, top: 110.0, bottom: 52.0 };

/// A picture of `lines`; `units` say what the axes show, across and up.
pub(crate) fn lines(title: &str, subtitle: &str, units: (&str, &str), lines: &[Line]) -> String {
    let mut svg = Svg::new(WIDTH, HEIGHT, title, subtitle);
    svg.legend(
        MARGINS.left,
        70.0,
        lines.iter().enumerate().map(|(index, line)| (line.name.as_str(), colour(index))),
    );
    let greatest = |of: fn(&(f64, f64)) -> f64| {
        lines.iter().flat_map(|line| line.points.iter().map(of)).fold(0.0, f64::max)
    };
    let (floor, end) = (HEIGHT - MARGINS.bottom, WIDTH - MARGINS.right);
    let x = Axis::new(greatest(|point| point.0), (MARGINS.left, end));
    let y = Axis::new(greatest(|point| point.1), (floor, MARGINS.top));
    for tick in y.ticks() {
        svg.grid((MARGINS.left, y.at(tick)), (end, y.at(tick)));
        svg.text(MARGINS.left - 8.0, y.at(tick) + 4.0, Anchor::End, &short(tick));
    }
    for tick in x.ticks() {
        svg.grid((x.at(tick), floor), (x.at(tick), floor + 5.0));
        svg.text(x.at(tick), floor + 20.0, Anchor::Middle, &short(tick));
    }
    svg.text((MARGINS.left + end) / 2.0, HEIGHT - 12.0, Anchor::Middle, units.0);
    svg.upright(18.0, (MARGINS.top + floor) / 2.0, units.1);
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| !line.points.is_empty()) {
        svg.polyline(
            line.points.iter().map(|&(across, up)| (x.at(across), y.at(up))),
            colour(index),
            &line.name,
        );
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::svg::tests::is_well_formed;

    #[test]
    fn lines_lie_within_the_axes() {
        let line = |name: &str, points: &[(f64, f64)]| Line {
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
