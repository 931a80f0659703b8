//! Learning-rate schedules: a linear warm-up, then constant or falling along a cosine.

/// How the rate falls as the budget is used up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    /// It does not.
    Constant,
    /// Along half a cosine (Loshchilov and Hutter 2017, arXiv 1608.03983), from the peak to
    /// `floor` times the peak.
    Cosine {
        /// What remains of the peak at the end.
        floor: f64,
    },
}

/// The learning rate over a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The highest rate.
    pub peak: f64,
    /// Steps over which the rate rises from nothing.
    pub warmup: u64,
    /// What comes after.
    pub decay: Decay,
}

impl Schedule {
    /// The rate of step `step` (counted from 1), with `progress` of the budget used (0 to 1).
    #[must_use]
    pub fn rate(&self, step: u64, progress: f64) -> f64 {
        let ramp = if step < self.warmup { step as f64 / self.warmup as f64 } else { 1.0 };
        let rest = match self.decay {
            Decay::Constant => 1.0,
            Decay::Cosine { floor } => {
                let cosine = (1.0 + (std::f64::consts::PI * progress.clamp(0.0, 1.0)).cos()) / 2.0;
                floor + (1.0 - floor) * cosine
            }
        };
        self.peak * ramp * rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_and_decays() {
        let rate = |warmup, step, progress| {
            let decay = Decay::Cosine { floor: 0.05 };
            Schedule { peak: 1.0, warmup, decay }.rate(step, progress)
        };
        assert!((rate(10, 1, 0.0) - 0.1).abs() < 1e-9);
        assert!((rate(10, 10, 0.0) - 1.0).abs() < 1e-9);
        assert!((rate(10, 500, 0.5) - 0.525).abs() < 1e-9);
        assert!((rate(0, 1000, 1.0) - 0.05).abs() < 1e-9);
        assert!((rate(0, 1000, 7.0) - 0.05).abs() < 1e-9);
    }

    #[test]
    fn stays_at_the_peak_without_decay() {
        let schedule = Schedule { peak: 3.0, warmup: 4, decay: Decay::Constant };
        let rates: Vec<f64> = (1..=6).map(|step| schedule.rate(step, step as f64)).collect();
        assert_eq!(rates, [0.75, 1.5, 2.25, 3.0, 3.0, 3.0]);
    }
}
