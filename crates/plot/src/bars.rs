//! Bars in groups: one group a load, one bar a method.

use crate::{
    axis::Axis,
    number::{three_digits, tick},
    svg::{Anchor, Margins, Svg, colour},
};

/// Bars that stand together.
#[derive(Clone, Debug)]
pub struct Group {
    /// What they have in common.
    pub name: String,
    /// In the order of the legend.
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Its place in the legend, which is its colour.
    pub index: usize,
    /// Its height; no bar where there is none.
    pub value: Option<f64>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 420.0;
const MARGINS: Margins = Margins { left: 64.0, right: 20.0, top: 110.0, bottom: 36.0 };

/// A picture of `groups`; `names` are the legend.
#[must_use]
pub fn bars(title: &str, subtitle: &str, unit: &str, names: &[String], groups: &[Group]) -> String {
    let mut svg = Svg::new(WIDTH, HEIGHT, title, subtitle);
    svg.legend(
        MARGINS.left,
        70.0,
        names.iter().enumerate().map(|(index, name)| (name.as_str(), colour(index))),
    );
    let values = groups.iter().flat_map(|group| group.bars.iter().filter_map(|bar| bar.value));
    let floor = HEIGHT - MARGINS.bottom;
    let y = Axis::new(0.0, values.fold(0.0, f64::max), (floor, MARGINS.top));
    for value in y.ticks() {
        svg.grid((MARGINS.left, y.at(value)), (WIDTH - MARGINS.right, y.at(value)));
        svg.text(MARGINS.left - 8.0, y.at(value) + 4.0, Anchor::End, &tick(value));
    }
    svg.upright(18.0, (MARGINS.top + floor) / 2.0, unit);
    let wide = (WIDTH - MARGINS.left - MARGINS.right) / groups.len().max(1) as f64;
    for (group, left) in
        groups.iter().zip((0..).map(|index: u32| MARGINS.left + f64::from(index) * wide))
    {
        svg.text(left + wide / 2.0, floor + 20.0, Anchor::Middle, &group.name);
        let bar_wide = wide * 0.86 / group.bars.len().max(1) as f64;
        for (bar, place) in group.bars.iter().zip(0_u32..) {
            let Some(value) = bar.value else { continue };
            let x = left + wide * 0.07 + f64::from(place) * bar_wide;
            let tip = format!(
                "{}: {} {unit}",
                names.get(bar.index).map_or("", String::as_str),
                three_digits(value)
            );
            svg.rect(
                x + 1.0,
                y.at(value),
                bar_wide - 2.0,
                floor - y.at(value),
                colour(bar.index),
                &tip,
            );
            svg.text(x + bar_wide / 2.0, y.at(value) - 4.0, Anchor::Middle, &three_digits(value));
        }
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::tests::is_well_formed;

    #[test]
    fn every_value_has_its_bar() {
        let names = ["u-shape".to_owned(), "hat <fast>".to_owned()];
        let group = |name: &str, values: [Option<f64>; 2]| Group {
            name: name.to_owned(),
            bars: values
                .into_iter()
                .enumerate()
                .map(|(index, value)| Bar { index, value })
                .collect(),
        };
        let picture = bars(
            "TTFT",
            "",
            "ms",
            &names,
            &[group("low", [Some(646.0), Some(384.0)]), group("high", [Some(800.0), None])],
        );
        is_well_formed(&picture);
        assert_eq!(picture.matches("<title>").count(), 3);
        assert!(picture.contains(">646</text>") && picture.contains(">384</text>"));
        is_well_formed(&bars("", "", "", &[], &[]));
    }
}
