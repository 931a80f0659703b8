//! Gumbel noise drawn by hashing.

use std::f64::consts::LN_2;

/// Gumbel noise for every token at one position.
pub(super) struct Noise(u64);

impl Noise {
    /// The greatest value of [`Noise::gumbel`], reached at `v = 2^-53`; the margin covers the
    /// logarithms' rounding.
    pub(super) const MAX: f64 = 53.0 * LN_2 + 1e-9;

    pub(super) fn new(seed: u64, pos: usize) -> Self {
        Self(mix(mix(seed ^ 0x5452_4943_4f52_4e31).wrapping_add(pos as u64)))
    }

    pub(super) fn bits(&self, token: u32) -> u64 {
        mix(self.0.wrapping_add(GOLDEN.wrapping_mul(u64::from(token) + 1)))
    }

    /// `-ln(-ln(1 - v))` for a uniform `v` in (0, 1) made of the top 52 bits: the grid is finest
    /// where the noise is greatest, since that is the tail that wins.
    pub(super) fn gumbel(bits: u64) -> f64 {
        let v = ((bits >> 12) as f64 + 0.5) * 2.0_f64.powi(-52);
        -(-(-v).ln_1p()).ln()
    }

    /// At least [`Noise::gumbel`], without a logarithm: `-ln(1 - v) >= v >= 2^-(zeros + 1)`.
    pub(super) fn bound(bits: u64) -> f64 {
        let drawn = (bits & !0xfff) | 0x800;
        f64::from(drawn.leading_zeros() + 1) * LN_2 + 1e-9
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection whose every output bit
/// depends on every input bit.
pub(super) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(GOLDEN);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_stays_within_its_bounds() {
        let edges = [0, 1 << 11, 1 << 12, u64::MAX, 1 << 63, (1 << 63) - 1];
        for bits in edges.into_iter().chain((0..100_000).map(|i| mix(i) >> (i % 64))) {
            let noise = Noise::gumbel(bits);
            assert!(
                noise.is_finite() && noise <= Noise::bound(bits) && noise <= Noise::MAX,
                "{bits:x}"
            );
        }
    }
}
