//! Random numbers that a seed repeats, on every machine.

/// SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator for one use: `stream` tells uses apart that share a seed.
    pub(crate) fn stream(seed: u64, stream: u64) -> Self {
        Self(Self(seed).next() ^ stream.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Evenly from `[0, 1)`.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
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
        assert_eq!(Rng::new(9).next(), Rng::new(9).next());
        assert_ne!(Rng::new(9).next(), Rng::new(10).next());
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
