//! The learning rate over a run.

/// What remains of the peak at the end.
const FLOOR: f64 = 0.05;

/// The rate of step `step` (counted from 1), with `progress` of the budget used (0 to 1): linear
/// warm-up over `warmup` steps, and a cosine from the peak to 5 % of it.
pub(crate) fn learning_rate(peak: f64, warmup: u64, step: u64, progress: f64) -> f64 {
    let ramp = if step < warmup { step as f64 / warmup as f64 } else { 1.0 };
    let cosine = (1.0 + (std::f64::consts::PI * progress.clamp(0.0, 1.0)).cos()) / 2.0;
    peak * ramp * (FLOOR + (1.0 - FLOOR) * cosine)
}

#[cfg(test)]
mod tests {
    use super::learning_rate;

    #[test]
    fn warms_up_and_decays() {
        assert!((learning_rate(1.0, 10, 1, 0.0) - 0.1).abs() < 1e-9);
        assert!((learning_rate(1.0, 10, 10, 0.0) - 1.0).abs() < 1e-9);
        assert!((learning_rate(1.0, 10, 500, 0.5) - 0.525).abs() < 1e-9);
        assert!((learning_rate(1.0, 0, 1000, 1.0) - 0.05).abs() < 1e-9);
        assert!((learning_rate(1.0, 0, 1000, 7.0) - 0.05).abs() < 1e-9);
    }
}
