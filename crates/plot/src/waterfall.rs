//! Waterfalls: one bar a row, cut into parts.

use crate::{
    axis::Axis,
    number::{three_digits, tick},
    svg::{Anchor, Margins, Svg, colour},
};

const WIDTH: f64 = 860.0;
const ROW: f64 = 34.0;
const MARGINS: Margins = Margins { left: 130.0, right: 60.0, top: 100.0, bottom: 48.0 };

/// A picture of named rows, each of as many values as there are `parts`. `units` are that of the
/// values and what the axis shows.
#[must_use]
pub fn waterfall(
    title: &str,
    subtitle: &str,
    units: (&str, &str),
    parts: &[&str],
    rows: &[(String, Vec<f64>)],
) -> String {
    let (unit, axis) = units;
    let height = MARGINS.top + MARGINS.bottom + ROW * rows.len() as f64;
    let floor = height - MARGINS.bottom;
    let mut svg = Svg::new(WIDTH, height, title, subtitle);
    svg.legend(
        MARGINS.left,
        72.0,
        parts.iter().enumerate().map(|(index, name)| (*name, colour(index))),
    );
    let total = |values: &[f64]| values.iter().sum::<f64>();
    let longest = rows.iter().map(|(_, values)| total(values)).fold(0.0, f64::max);
    let x = Axis::new(0.0, longest, (MARGINS.left, WIDTH - MARGINS.right));
    for value in x.ticks() {
        svg.grid((x.at(value), MARGINS.top), (x.at(value), floor));
        svg.text(x.at(value), floor + 18.0, Anchor::Middle, &tick(value));
    }
    svg.text((MARGINS.left + WIDTH - MARGINS.right) / 2.0, height - 10.0, Anchor::Middle, axis);
    for ((name, values), row) in rows.iter().zip(0_u32..) {
        let y = MARGINS.top + f64::from(row) * ROW;
        svg.text(MARGINS.left - 10.0, y + ROW / 2.0 + 4.0, Anchor::End, name);
        let mut from = 0.0;
        for (index, (part, value)) in parts.iter().zip(values).enumerate() {
            // A part below zero is a few microseconds that two clocks do not agree on.
            let value = value.max(0.0);
            let (left, right) = (x.at(from), x.at(from + value));
            let tip = format!("{part}: {} {unit}", three_digits(value));
            svg.rect(left, y + 5.0, right - left, ROW - 10.0, colour(index), &tip);
            from += value;
        }
        let label = three_digits(total(values));
        svg.text(x.at(from) + 6.0, y + ROW / 2.0 + 4.0, Anchor::Start, &label);
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::tests::is_well_formed;

    #[test]
    fn every_part_is_drawn() {
        let parts = ["device", "upload", "rtt", "wait", "compute", "head", "other"];
        let values = vec![10.0, 300.0, 6.0, 20.0, 30.0, 2.0, -0.5];
        let rows = [("u-shape".to_owned(), values.clone()), ("hat".to_owned(), values)];
        let picture = waterfall("Where", "", ("ms", "ms to first token"), &parts, &rows);
        is_well_formed(&picture);
        assert_eq!(picture.matches("upload: 300 ms").count(), 2);
        assert!(picture.contains(">368</text>") || picture.contains(">367</text>"), "{picture}");
        is_well_formed(&waterfall("", "", ("", ""), &parts, &[]));
    }
}
