//! Average that moves, and that a single odd sample cannot move far.

/// A sample further than this factor from the average counts as odd.
const ODD: f64 = 4.0;
/// So many odd samples in a row, all on the same side, are the new truth.
const CONVINCING: usize = 3;

/// Moving average: `history x average + (1 - history) x sample`, the first sample as it is.
///
/// A sample beyond a factor of 4 from the average is taken as that bound, so that one stall does
/// little harm; after three in a row on the same side the average jumps to their median, because
/// what is measured has changed. Units are the caller's.
#[derive(Clone, Debug)]
pub struct Average {
    history: f64,
    wary: bool,
    value: Option<f64>,
    odd: Vec<f64>,
}

impl Default for Average {
    fn default() -> Self {
        Self::new()
    }
}

impl Average {
    /// The weight of the past in HAT (arXiv 2503.18989).
    pub const HISTORY: f64 = 0.8;

    /// An average of nothing yet, with weight [`HISTORY`](Self::HISTORY) on the past.
    #[must_use]
    pub fn new() -> Self {
        Self::with_history(Self::HISTORY)
    }

    /// One with weight `history` on the past, held to `0..=1`.
    #[must_use]
    pub fn with_history(history: f64) -> Self {
        Self { history: history.clamp(0.0, 1.0), wary: true, value: None, odd: Vec::new() }
    }

    /// One that takes every sample as it is: for what leaps by nature, such as time spent waiting,
    /// where the mean is wanted.
    #[must_use]
    pub fn plain() -> Self {
        Self { wary: false, ..Self::new() }
    }

    /// Takes a sample. NaN, infinity and negative numbers are ignored.
    pub fn add(&mut self, sample: f64) {
        if !sample.is_finite() || sample < 0.0 {
            return;
        }
        let Some(value) = self.value else {
            self.value = Some(sample);
            return;
        };
        let counted =
            if self.wary && value > 0.0 { sample.clamp(value / ODD, value * ODD) } else { sample };
        if counted == sample {
            self.odd.clear();
        } else {
            if self.odd.last().is_some_and(|&before| (before > value) != (sample > value)) {
                self.odd.clear();
            }
            self.odd.push(sample);
            if self.odd.len() == CONVINCING {
                self.odd.sort_by(f64::total_cmp);
                self.value = self.odd.get(CONVINCING / 2).copied();
                self.odd.clear();
                return;
            }
        }
        self.value = Some(self.history * value + (1.0 - self.history) * counted);
    }

    /// The average; `None` before the first sample.
    #[must_use]
    pub fn get(&self) -> Option<f64> {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(samples: &[f64]) -> Option<f64> {
        let mut average = Average::new();
        samples.iter().for_each(|&sample| average.add(sample));
        average.get()
    }

    #[test]
    fn the_past_weighs_four_fifths() {
        assert_eq!(after(&[]), None);
        assert_eq!(after(&[10.0]), Some(10.0));
        assert_eq!(after(&[10.0, 20.0]), Some(12.0));
        let mut light = Average::with_history(0.5);
        light.add(10.0);
        light.add(20.0);
        assert_eq!(light.get(), Some(15.0));
    }

    #[test]
    fn nonsense_is_ignored() {
        assert_eq!(
            after(&[f64::NAN, -1.0, 10.0, f64::INFINITY, f64::NEG_INFINITY, -0.5]),
            Some(10.0)
        );
    }

    #[test]
    fn one_odd_sample_moves_it_no_further_than_the_bound_would() {
        let near = |samples, expected: f64| {
            assert!(after(samples).is_some_and(|value| (value - expected).abs() < 1e-9))
        };
        near(&[10.0, 1e9], 16.0);
        near(&[10.0, 0.0], 8.5);
    }

    #[test]
    fn three_in_a_row_are_believed() {
        assert_eq!(after(&[10.0, 900.0, 1000.0, 2000.0]), Some(1000.0));
        assert_eq!(after(&[10.0, 0.1, 0.2, 0.3]), Some(0.2));
        // Anything ordinary, or odd on the other side, begins the count again.
        assert!(after(&[10.0, 900.0, 1000.0, 10.0, 2000.0]).is_some_and(|value| value < 100.0));
        assert!(after(&[10.0, 900.0, 1000.0, 0.1, 2000.0]).is_some_and(|value| value < 100.0));
    }

    #[test]
    fn a_plain_one_takes_leaps_as_they_are() {
        let mut average = Average::plain();
        [0.0, 0.0, 100.0].iter().for_each(|&sample| average.add(sample));
        assert!(average.get().is_some_and(|value| (value - 20.0).abs() < 1e-9));
    }

    #[test]
    fn zero_is_left_again() {
        assert!(after(&[0.0, 5.0]).is_some_and(|value| (value - 1.0).abs() < 1e-9));
    }
}
