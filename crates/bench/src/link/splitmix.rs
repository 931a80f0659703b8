//! Random numbers that a seed repeats.

/// SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub(super) struct SplitMix(u64);

impl SplitMix {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly from `[0, 1)`.
    pub(super) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Exponentially distributed with this mean: the gap between events that know nothing of each other.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.uniform()).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_as_asked_and_seeds_repeat() {
        let mut rng = SplitMix::new(7);
        let count = 100_000;
        let uniform = (0..count).map(|_| rng.uniform()).sum::<f64>() / f64::from(count);
        let exponential = (0..count).map(|_| rng.exponential(3.0)).sum::<f64>() / f64::from(count);
        assert!((uniform - 0.5).abs() < 0.01 && (exponential - 3.0).abs() < 0.05, "{uniform} {exponential}");
        assert_eq!(SplitMix::new(9).next(), SplitMix::new(9).next());
        assert_ne!(SplitMix::new(9).next(), SplitMix::new(10).next());
    }
}
