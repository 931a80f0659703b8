//! Calibration of a drafter: how often drafts of a confidence are right, learnt as they are judged.

const BINS: usize = 10;
/// So many drafts' weight has the drafter's own word against what is seen.
const PRIOR: f64 = 8.0;
/// Drafts that a bin remembers.
const MEMORY: f64 = 512.0;

/// Drafts judged and drafts accepted, in bins of the drafter's confidence.
#[derive(Clone, Debug, Default)]
pub(super) struct Calibration {
    bins: [Bin; BINS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    judged: f64,
    accepted: f64,
}

impl Calibration {
    /// Takes in that a draft, all before which were accepted, was judged.
    pub(super) fn observe(&mut self, confidence: f32, accepted: bool) {
        let bin = &mut self.bins[bin(confidence)];
        bin.judged += 1.0;
        bin.accepted += f64::from(u8::from(accepted));
        if bin.judged > MEMORY {
            bin.judged /= 2.0;
            bin.accepted /= 2.0;
        }
    }

    /// The probability that the target agrees with a draft of this confidence.
    pub(super) fn chance(&self, confidence: f32) -> f64 {
        let Bin { judged, accepted } = self.bins[bin(confidence)];
        let word = if confidence.is_nan() { 0.0 } else { f64::from(confidence).clamp(0.0, 1.0) };
        (accepted + PRIOR * word) / (judged + PRIOR)
    }
}

fn bin(confidence: f32) -> usize {
    // NaN and what is below 0 go to the first bin.
    ((confidence * BINS as f32) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_outweighs_the_drafters_word() {
        let mut calibration = Calibration::default();
        assert_eq!(calibration.chance(0.5), 0.5);
        (0..2000).for_each(|i| calibration.observe(0.55, i % 5 != 0));
        assert!((calibration.chance(0.5) - 0.8).abs() < 0.02, "{}", calibration.chance(0.5));
        assert_eq!(calibration.chance(0.95), f64::from(0.95_f32), "other bins are untouched");
    }

    #[test]
    fn odd_confidences_do_no_harm() {
        let mut calibration = Calibration::default();
        for odd in [f32::NAN, -1.0, 7.0, f32::INFINITY] {
            calibration.observe(odd, true);
            assert!((0.0..=1.0).contains(&calibration.chance(odd)), "{odd}");
        }
    }
}
