//! Where the time to first token went: one bar a mode, cut into parts.

use super::{
    axis::{Axis, short},
    colour,
    svg::{Anchor, Margins, Svg},
};
use crate::{bound::Breakdown, units};

const WIDTH: f64 = 860.0;
const ROW: f64 = 34.0;
const MARGINS: Margins = Margins { left: 130.0, right: 60.0, top: 100.0, bottom: 48.0 };

/// A picture of named requests' first tokens.
pub(crate) fn waterfall(title: &str, subtitle: &str, requests: &[(String, Breakdown)]) -> String {
    let height = MARGINS.top + MARGINS.bottom + ROW * requests.len() as f64;
    let floor = height - MARGINS.bottom;
    let mut svg = Svg::new(WIDTH, height, title, subtitle);
    let names = Breakdown::default().parts().map(|(name, _)| name);
    svg.legend(
        MARGINS.left,
        72.0,
        names.iter().enumerate().map(|(index, name)| (*name, colour(index))),
    );
    let total = |parts: &Breakdown| parts.parts().iter().map(|(_, value)| value).sum::<f64>();
    let x = Axis::new(
        requests.iter().map(|(_, parts)| total(parts)).fold(0.0, f64::max),
        (MARGINS.left, WIDTH - MARGINS.right),
    );
    for tick in x.ticks() {
        svg.grid((x.at(tick), MARGINS.top), (x.at(tick), floor));
        svg.text(x.at(tick), floor + 18.0, Anchor::Middle, &short(tick));
    }
    svg.text(
        (MARGINS.left + WIDTH - MARGINS.right) / 2.0,
        height - 10.0,
        Anchor::Middle,
        "ms to first token",
    );
    for ((name, parts), row) in requests.iter().zip(0_u32..) {
        let y = MARGINS.top + f64::from(row) * ROW;
        svg.text(MARGINS.left - 10.0, y + ROW / 2.0 + 4.0, Anchor::End, name);
        let mut from = 0.0;
        for (index, (part, value)) in parts.parts().into_iter().enumerate() {
            // A part below zero is a few microseconds that two clocks do not agree on.
            let value = value.max(0.0);
            let left = x.at(from);
            svg.rect(
                left,
                y + 5.0,
                x.at(from + value) - left,
                ROW - 10.0,
                colour(index),
                &format!("{part}: {} ms", units::short(value)),
            );
            from += value;
        }
        svg.text(x.at(from) + 6.0, y + ROW / 2.0 + 4.0, Anchor::Start, &units::short(total(parts)));
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::svg::tests::is_well_formed;

    #[test]
    fn every_part_is_drawn() {
        let parts = Breakdown {
            device: 10.0,
            upload: 300.0,
            rtt: 6.0,
            wait: 20.0,
            compute: 30.0,
            head: 2.0,
            other: -0.5,
            bound: 340.0,
        };
        let picture =
            waterfall("Where", "", &[("u-shape".to_owned(), parts), ("hat".to_owned(), parts)]);
        is_well_formed(&picture);
        assert_eq!(picture.matches("upload: 300 ms").count(), 2);
        assert!(picture.contains(">368</text>") || picture.contains(">367</text>"), "{picture}");
        is_well_formed(&waterfall("", "", &[]));
    }
}
