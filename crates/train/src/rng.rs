//! Random numbers that are the same on every machine and need no state in a checkpoint: each use
//! has its own seed.

use rand_core::{Rng as _, SeedableRng};
use rand_xoshiro::SplitMix64;

/// A generator for one use.
#[derive(Clone, Debug)]
pub(crate) struct Rng(SplitMix64);

impl Rng {
    /// A generator for one use: `stream` tells uses and epochs apart.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let first = SplitMix64::seed_from_u64(seed).next_u64();
        let start = first ^ stream.wrapping_mul(0xd134_2543_de82_ef95);
        let mut rng = SplitMix64::seed_from_u64(start);
        rng.next_u64();
        Self(rng)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * 2.0_f64.powi(-53)
    }

    /// Standard normal, by Box and Muller's formula.
    pub(crate) fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * self.unit()).cos()) as f32
    }

    /// A random order of `0..count` (Fisher and Yates).
    pub(crate) fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for i in (1..count).rev() {
            order.swap(i, (self.unit() * (i + 1) as f64) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn permutations_are_complete_and_differ_by_stream() {
        let order = Rng::new(1, 0).permutation(100);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..100));
        assert_eq!(order, Rng::new(1, 0).permutation(100));
        assert_ne!(order, Rng::new(1, 1).permutation(100));
    }

    #[test]
    fn a_seeds_numbers_are_fixed() {
        let mut rng = Rng::new(7, 3);
        assert_eq!([rng.next(), rng.next()], [0x16b5_072a_2111_168e, 0xf9f9_720b_95a8_4bc4]);
    }

    #[test]
    fn normals_have_unit_variance() {
        let mut rng = Rng::new(3, 0);
        let samples: Vec<f64> = (0..20_000).map(|_| f64::from(rng.normal())).collect();
        let mean = samples.iter().sum::<f64>() / 20_000.0;
        let variance = samples.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(
            mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05,
            "mean {mean}, variance {variance}"
        );
    }
}
