//! Random numbers of a link: the same for a seed on every machine.

use rand_core::{Rng as _, SeedableRng};
use rand_xoshiro::SplitMix64;

/// A generator for jitter and stalls.
#[derive(Clone, Debug)]
pub(super) struct Rng(SplitMix64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    /// Evenly from `[0, 1)`.
    pub(super) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Exponentially distributed with this mean: the gap between events of a Poisson process.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.uniform()).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seeds_numbers_are_fixed() {
        let mut rng = Rng::new(7);
        let numbers = [(); 3].map(|()| rng.0.next_u64());
        // SplitMix64 as published (Steele, Lea and Flood 2014).
        assert_eq!(numbers, [0x63cb_e1e4_5932_0dd7, 0x044c_3cd7_f43c_661c, 0xe698_4080_bab1_2a02]);
        assert_eq!(Rng::new(7).uniform(), 0.389_829_748_391_271_5);
    }
}
