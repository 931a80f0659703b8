//! Random numbers that a seed repeats, on every machine.

use rand_core::{Rng as _, SeedableRng};
use rand_xoshiro::SplitMix64;

/// A generator for one use.
#[derive(Clone, Debug)]
pub(crate) struct Rng(SplitMix64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    /// A generator for one use: `stream` tells uses apart that share a seed.
    pub(crate) fn stream(seed: u64, stream: u64) -> Self {
        let first = SplitMix64::seed_from_u64(seed).next_u64();
        Self::new(first ^ stream.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// Evenly from `[0, 1)`.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Exponentially distributed with this mean: the gap between events that know nothing of each
    /// other.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.uniform()).ln()
    }

    /// Shuffles in place (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, (self.uniform() * (i + 1) as f64) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_as_asked_and_seeds_repeat() {
        let mut rng = Rng::new(7);
        let count = 100_000;
        let uniform = (0..count).map(|_| rng.uniform()).sum::<f64>() / f64::from(count);
        let exponential = (0..count).map(|_| rng.exponential(3.0)).sum::<f64>() / f64::from(count);
        assert!(
            (uniform - 0.5).abs() < 0.01 && (exponential - 3.0).abs() < 0.05,
            "{uniform} {exponential}"
        );
        assert_eq!(Rng::new(9).uniform(), Rng::new(9).uniform());
        assert_ne!(Rng::new(9).uniform(), Rng::new(10).uniform());
    }

    #[test]
    fn a_seeds_numbers_are_fixed() {
        let mut rng = Rng::stream(7, 3);
        assert_eq!(
            [rng.uniform(), rng.uniform()],
            [0.062_702_043_381_671_62, 0.088_699_767_861_786_9]
        );
    }

    #[test]
    fn shuffles_keep_every_item_and_differ_by_stream() {
        let shuffled = |stream| {
            let mut items: Vec<usize> = (0..100).collect();
            Rng::stream(1, stream).shuffle(&mut items);
            items
        };
        let mut sorted = shuffled(0);
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..100));
        assert_eq!(shuffled(0), shuffled(0));
        assert_ne!(shuffled(0), shuffled(1));
    }
}
