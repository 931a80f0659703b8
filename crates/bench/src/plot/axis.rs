//! Axes with round numbers.

/// One axis: the values at its ends, and what lies between its ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) to: f64,
    step: f64,
    /// Where the ends lie on the picture.
    pixels: (f64, f64),
}

impl Axis {
    /// An axis from 0 to a round number not below `to`, with about five ticks at round numbers,
    /// drawn from one pixel to another.
    pub(super) fn new(to: f64, pixels: (f64, f64)) -> Self {
        let to = if to.is_finite() && to > 0.0 { to } else { 1.0 };
        let magnitude = 10.0_f64.powf((to / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|m| m * magnitude)
            .find(|step| to / step <= 5.0 + 1e-9)
            .unwrap_or(to);
        Self { to: (to / step - 1e-9).ceil() * step, step, pixels }
    }

    pub(super) fn ticks(self) -> impl Iterator<Item = f64> {
        let count = (self.to / self.step).round() as usize;
        (0..=count).map(move |tick| tick as f64 * self.step)
    }

    /// Where a value lies on the picture; values beyond the ends at the ends.
    pub(super) fn at(self, value: f64) -> f64 {
        let (from, to) = self.pixels;
        from + (value / self.to).clamp(0.0, 1.0) * (to - from)
    }
}

/// A number as an axis shows it: `0.5`, `120`, `2k`.
pub(super) fn short(value: f64) -> String {
    let (value, unit) = if value.abs() >= 1e4 { (value / 1e3, "k") } else { (value, "") };
    format!("{}{unit}", (value * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        let axis = Axis::new(930.0, (0.0, 500.0));
        assert_eq!(axis.ticks().collect::<Vec<_>>(), [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
        assert_eq!((axis.at(0.0), axis.at(500.0), axis.at(2000.0)), (0.0, 250.0, 500.0));
        assert_eq!(Axis::new(1.0, (0.0, 1.0)).to, 1.0);
        assert_eq!(Axis::new(f64::NAN, (0.0, 1.0)), Axis::new(0.0, (0.0, 1.0)));
        assert_eq!([0.0, 0.25, 1500.0, 12_000.0].map(short), ["0", "0.25", "1500", "12k"]);
    }
}
