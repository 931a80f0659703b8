//! A run's history as a picture: tokens per verification round against trained tokens, as SVG.

use std::fmt::Write;

use crate::trainer::history::History;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
/// Space around the plot: left, right, top, bottom.
const MARGINS: (f64, f64, f64, f64) = (60.0, 70.0, 56.0, 52.0);

/// One axis: the values at its ends, and what lies between its ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    from: f64,
    to: f64,
    step: f64,
}

impl Axis {
    /// An axis from `from` to a round number not below `to`, with about five ticks at round
    /// numbers.
    fn new(from: f64, to: f64) -> Self {
        let span = (to - from).max(1e-9);
        let magnitude = 10.0_f64.powf((span / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|m| m * magnitude)
            .find(|step| span / step <= 5.0 + 1e-9)
            .unwrap_or(span);
        Self { from, to: from + (span / step - 1e-9).ceil() * step, step }
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        let count = ((self.to - self.from) / self.step).round() as usize;
        (0..=count).map(move |i| self.from + i as f64 * self.step)
    }

    /// Where a value lies, 0 to 1.
    fn share(self, value: f64) -> f64 {
        (value - self.from) / (self.to - self.from)
    }
}

/// The picture of a history; points are labelled with their values by a viewer's tooltips.
#[must_use]
pub fn svg(history: &History) -> String {
    let points: Vec<(f64, f64)> =
        history.points.iter().map(|p| (p.tokens as f64, p.tokens_per_round)).collect();
    let greatest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
    let x = Axis::new(0.0, greatest(&mut points.iter().map(|p| p.0)).max(1000.0));
    let y = Axis::new(1.0, greatest(&mut points.iter().map(|p| p.1)).max(1.5));
    let (left, right, top, bottom) = MARGINS;
    let across = |value: f64| left + x.share(value) * (WIDTH - left - right);
    let up = |value: f64| HEIGHT - bottom - y.share(value) * (HEIGHT - top - bottom);
    let mut out = String::new();
    // Writing to a string cannot fail.
    let mut put = |line: std::fmt::Arguments<'_>| {
        let _ = out.write_fmt(line);
        out.push('\n');
    };
    put(format_args!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="12" fill="#444">"##
    ));
    put(format_args!(r##"<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>"##));
    put(format_args!(
        r##"<text x="{left}" y="24" font-size="15" font-weight="600" fill="#111">Tokens per verification round</text>"##
    ));
    put(format_args!(
        r##"<text x="{left}" y="42">held-out prompts, drafting to the maximum length</text>"##
    ));
    for tick in y.ticks() {
        let (at, end) = (up(tick), WIDTH - right);
        put(format_args!(
            r##"<line x1="{left}" x2="{end}" y1="{at:.1}" y2="{at:.1}" stroke="#e5e5e5"/>"##
        ));
        put(format_args!(
            r##"<text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"##,
            left - 8.0,
            at + 4.0,
            short(tick)
        ));
    }
    for tick in x.ticks() {
        put(format_args!(
            r##"<text x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"##,
            across(tick),
            HEIGHT - bottom + 20.0,
            short(tick)
        ));
    }
    put(format_args!(
        r##"<text x="{:.1}" y="{:.1}" text-anchor="middle">trained tokens</text>"##,
        across((x.from + x.to) / 2.0),
        HEIGHT - 10.0
    ));
    let line: Vec<String> = points
        .iter()
        .map(|&(tokens, rate)| format!("{:.1},{:.1}", across(tokens), up(rate)))
        .collect();
    put(format_args!(
        r##"<polyline points="{}" fill="none" stroke="#2563eb" stroke-width="2" stroke-linejoin="round"/>"##,
        line.join(" ")
    ));
    for &(tokens, rate) in &points {
        put(format_args!(
            r##"<circle cx="{:.1}" cy="{:.1}" r="3" fill="#2563eb"><title>{} tokens: {rate:.3}</title></circle>"##,
            across(tokens),
            up(rate),
            short(tokens)
        ));
    }
    if let Some(&(tokens, rate)) = points.last() {
        let (at, above) = (across(tokens) + 8.0, up(rate) + 4.0);
        put(format_args!(
            r##"<text x="{at:.1}" y="{above:.1}" font-weight="600" fill="#2563eb">{rate:.2}</text>"##
        ));
    }
    put(format_args!("</svg>"));
    out
}

/// A number as an axis shows it: `1.5`, `200k`, `3M`.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e3 => (v / 1e3, "k"),
        v => (v, ""),
    };
    format!("{}{unit}", (value * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trainer::history::HistoryPoint;

    #[test]
    fn axes_have_round_ticks_that_cover_the_values() {
        assert_eq!(
            Axis::new(0.0, 930_000.0).ticks().collect::<Vec<_>>(),
            [0.0, 200_000.0, 400_000.0, 600_000.0, 800_000.0, 1_000_000.0]
        );
        assert_eq!(Axis::new(1.0, 2.0), Axis { from: 1.0, to: 2.0, step: 0.2 });
        assert_eq!(Axis::new(0.0, 1000.0).to, 1000.0);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 1.2, 1500.0, 250_000.0, 2_500_000.0].map(short),
            ["0", "1.2", "1.5k", "250k", "2.5M"]
        );
    }

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
