//! Axes with round numbers.

/// One axis: the values at its ends, and what lies between its ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Axis {
    from: f64,
    to: f64,
    step: f64,
    /// Where the ends lie on the picture.
    pixels: (f64, f64),
}

impl Axis {
    /// An axis from `from` to a round number not below `to`, with about five ticks at round
    /// numbers, drawn from one pixel to another.
    pub(crate) fn new(from: f64, to: f64, pixels: (f64, f64)) -> Self {
        let span = to - from;
        let span = if span.is_finite() && span > 0.0 { span } else { 1.0 };
        let magnitude = 10.0_f64.powf((span / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|m| m * magnitude)
            .find(|step| span / step <= 5.0 + 1e-9)
            .unwrap_or(span);
        Self { from, to: from + (span / step - 1e-9).ceil() * step, step, pixels }
    }

    pub(crate) fn ticks(self) -> impl Iterator<Item = f64> {
        let count = ((self.to - self.from) / self.step).round() as usize;
        (0..=count).map(move |tick| self.from + tick as f64 * self.step)
    }

    /// Where a value lies on the picture; values beyond the ends at the ends.
    pub(crate) fn at(self, value: f64) -> f64 {
        let (first, last) = self.pixels;
        let share = (value - self.from) / (self.to - self.from);
        first + share.clamp(0.0, 1.0) * (last - first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        let axis = Axis::new(0.0, 930.0, (0.0, 500.0));
        assert_eq!(axis.ticks().collect::<Vec<_>>(), [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
        assert_eq!((axis.at(0.0), axis.at(500.0), axis.at(2000.0)), (0.0, 250.0, 500.0));
        assert_eq!(Axis::new(0.0, 1.0, (0.0, 1.0)).to, 1.0);
        let unknown = Axis::new(0.0, f64::NAN, (0.0, 1.0));
        assert_eq!(unknown, Axis::new(0.0, 0.0, (0.0, 1.0)));
    }

    #[test]
    fn an_axis_may_begin_above_zero() {
        let axis = Axis::new(1.0, 2.0, (0.0, 100.0));
        assert_eq!((axis.from, axis.to, axis.step), (1.0, 2.0, 0.2));
        assert_eq!((axis.at(1.0), axis.at(1.5), axis.at(0.0)), (0.0, 50.0, 0.0));
    }
}
