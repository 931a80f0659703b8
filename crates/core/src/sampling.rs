//! The choice of a token from logits: a pure function of logits, seed and position.
//!
//! The token at position `p` is `argmax_t(logit_t / T + G(seed, p, t))` with standard Gumbel noise `G` drawn by hashing, which is an exact
//! draw from `softmax(logits / T)` (the Gumbel-max trick). The drafter chooses from its own logits under the same noise, so that a draft
//! is right with a probability close to the best that any coupling reaches, and the text depends on the seed alone: not on what was
//! drafted, how much of it, or by whom (Daliri, Musco and Suresh 2024, arXiv 2408.07978, "drafter-invariant" speculative decoding).

mod guesses;

pub use guesses::guesses;

use std::f64::consts::LN_2;

/// Temperature and seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingParams {
    temperature: f32,
    seed: u64,
}

/// Why sampling parameters are refused.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum SamplingError {
    /// The temperature is negative, too high or no number.
    #[error("temperature {0} is out of range; use 0 (always the likeliest token) to {max}", max = SamplingParams::MAX_TEMPERATURE)]
    Temperature(f32),
}

impl SamplingParams {
    /// The highest temperature accepted; text is noise long before.
    pub const MAX_TEMPERATURE: f32 = 10.0;

    /// Checks and keeps the parameters. Temperature 0 means greedy: always the likeliest token, whatever the seed.
    ///
    /// # Errors
    /// When the temperature is not in `0 ..= MAX_TEMPERATURE`.
    pub fn new(temperature: f32, seed: u64) -> Result<Self, SamplingError> {
        if (0.0..=Self::MAX_TEMPERATURE).contains(&temperature) {
            Ok(Self { temperature, seed })
        } else {
            Err(SamplingError::Temperature(temperature))
        }
    }

    /// Always the likeliest token.
    #[must_use]
    pub const fn greedy() -> Self {
        Self { temperature: 0.0, seed: 0 }
    }

    /// The temperature, `0 ..= MAX_TEMPERATURE`.
    #[must_use]
    pub fn temperature(&self) -> f32 {
        self.temperature
    }

    /// The seed of the noise.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

/// The token for position `pos` in the sequence, given the logits of the row at `pos - 1`.
///
/// NaN logits are never chosen while there is another; ties go to the lowest index; no logits give token 0.
#[must_use]
pub fn choose(logits: &[f32], params: &SamplingParams, pos: usize) -> u32 {
    let likeliest = argmax(logits);
    if params.temperature == 0.0 || logits.is_empty() {
        return likeliest;
    }
    let temperature = f64::from(params.temperature);
    let noise = Noise::new(params.seed, pos);
    let mut best = likeliest;
    let mut best_score = f64::from(logits[likeliest as usize]) / temperature + Noise::gumbel(noise.bits(likeliest));
    for (token, &logit) in (0_u32..).zip(logits) {
        let scaled = f64::from(logit) / temperature;
        // Most of a large vocabulary cannot win even with the greatest noise there is; most of the rest not with the noise that the
        // hash's leading zeros still allow. Only what is left costs two logarithms. (A NaN fails the first comparison.)
        let in_reach = scaled + Noise::MAX >= best_score;
        if !in_reach || token == likeliest {
            continue;
        }
        let bits = noise.bits(token);
        if scaled + Noise::bound(bits) < best_score {
            continue;
        }
        let score = scaled + Noise::gumbel(bits);
        if score > best_score || (score == best_score && token < best) {
            (best, best_score) = (token, score);
        }
    }
    best
}

/// The index of the greatest logit; the lowest of several, 0 when there is none but NaN.
#[must_use]
pub fn argmax(logits: &[f32]) -> u32 {
    let max = greatest(logits);
    // Where all are NaN or negative infinity, the first that is no NaN.
    let best = logits.iter().position(|&logit| logit == max);
    best.and_then(|token| u32::try_from(token).ok()).unwrap_or(0)
}

/// The greatest value but NaN; negative infinity when there is none. In lanes, so that it vectorises.
fn greatest(logits: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = logits.as_chunks::<16>();
    let padded: [f32; 16] = std::array::from_fn(|lane| rest.get(lane).copied().unwrap_or(f32::NEG_INFINITY));
    for chunk in chunks.iter().chain([&padded]) {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane = if logit > *lane { logit } else { *lane };
        }
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// The probability of the likeliest token under `softmax(logits)`, at temperature 1 whatever the sampling is; NaN counts as impossible, and
/// no logits give 0.
#[must_use]
pub fn confidence(logits: &[f32]) -> f32 {
    let max = greatest(logits);
    if max == f32::INFINITY {
        let ties = logits.iter().filter(|&&logit| logit == max).count();
        return 1.0 / ties as f32;
    }
    if max == f32::NEG_INFINITY {
        return 0.0;
    }
    let mut lanes = [0.0_f32; 16];
    let (chunks, rest) = logits.as_chunks::<16>();
    let padded: [f32; 16] = std::array::from_fn(|lane| rest.get(lane).copied().unwrap_or(f32::NEG_INFINITY));
    for chunk in chunks.iter().chain([&padded]) {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane += exp_nonpositive(logit - max);
        }
    }
    lanes.iter().sum::<f32>().recip()
}

/// `e^x` for `x <= 0` to seven digits, 0 below -87 and for NaN: `2^n 2^f` with the Taylor polynomial of `2^f`, `|f| <= 1/2`. Unlike the
/// standard one it vectorises, and it runs over the whole vocabulary for every draft.
fn exp_nonpositive(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: the sum's low bits are the rounded integer
    let reachable = if x > -87.0 { x } else { -87.0 };
    let t = reachable * std::f32::consts::LOG2_E;
    let shifted = t + ROUND;
    let f = (t - (shifted - ROUND)) * std::f32::consts::LN_2;
    let p = 1.0 + f * (1.0 + f * (0.5 + f * (1.0 / 6.0 + f * (1.0 / 24.0 + f * (1.0 / 120.0 + f * (1.0 / 720.0))))));
    let scale = f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    if x > -87.0 { p * scale } else { 0.0 }
}

/// Gumbel noise for every token at one position.
struct Noise(u64);

impl Noise {
    /// The greatest value of [`Noise::gumbel`], reached at `v = 2^-53`; the margin covers the logarithms' rounding.
    const MAX: f64 = 53.0 * LN_2 + 1e-9;

    fn new(seed: u64, pos: usize) -> Self {
        Self(mix(mix(seed ^ 0x5452_4943_4f52_4e31).wrapping_add(pos as u64)))
    }

    fn bits(&self, token: u32) -> u64 {
        mix(self.0.wrapping_add(GOLDEN.wrapping_mul(u64::from(token) + 1)))
    }

    /// `-ln(-ln(1 - v))` for a uniform `v` in (0, 1) made of the top 52 bits: the grid is finest where the noise is greatest, since that
    /// is the tail that wins.
    fn gumbel(bits: u64) -> f64 {
        let v = ((bits >> 12) as f64 + 0.5) * 2.0_f64.powi(-52);
        -(-(-v).ln_1p()).ln()
    }

    /// At least [`Noise::gumbel`], without a logarithm: `-ln(1 - v) >= v >= 2^-(zeros + 1)`.
    fn bound(bits: u64) -> f64 {
        let drawn = (bits & !0xfff) | 0x800;
        f64::from(drawn.leading_zeros() + 1) * LN_2 + 1e-9
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection whose every output bit depends on every input bit.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(GOLDEN);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn temperature_is_checked() {
        for bad in [-0.1, f32::NAN, f32::INFINITY, 10.1] {
            assert!(SamplingParams::new(bad, 0).is_err());
        }
        assert!(SamplingParams::new(0.8, 0).is_ok());
    }

    #[test]
    fn greedy_takes_the_lowest_of_the_greatest() {
        assert_eq!(choose(&[1.0, 3.0, 3.0, f32::NAN], &SamplingParams::greedy(), 5), 1);
        assert_eq!(argmax(&[f32::NAN, f32::NEG_INFINITY]), 1);
        assert_eq!(argmax(&[]), 0);
    }

    #[test]
    fn odd_logits_neither_panic_nor_win() {
        for temperature in [0.0, 0.8] {
            for pos in 0..200 {
                let params = SamplingParams::new(temperature, 7).unwrap();
                assert_eq!(choose(&[f32::NAN, -4.0, f32::NEG_INFINITY], &params, pos), 1);
                assert_eq!(choose(&[0.0, f32::INFINITY, f32::INFINITY], &params, pos), 1);
                assert_eq!(choose(&[f32::NAN, f32::NAN], &params, pos), 0);
                assert_eq!(choose(&[], &params, pos), 0);
            }
        }
    }

    #[test]
    fn skipping_changes_nothing() {
        for seed in 0..2000 {
            let params = SamplingParams::new(0.7, seed).unwrap();
            let logits: Vec<f32> = (0..300).map(|i| (mix(seed * 1000 + i) >> 40) as f32 / 2.0_f32.powi(19) - 16.0).collect();
            let noise = Noise::new(seed, 3);
            let all = (0..300).map(|t| f64::from(logits[t as usize]) / f64::from(0.7_f32) + Noise::gumbel(noise.bits(t)));
            let best = all.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            assert_eq!(choose(&logits, &params, 3) as usize, best.0);
        }
    }

    #[test]
    fn noise_stays_within_its_bounds() {
        let edges = [0, 1 << 11, 1 << 12, u64::MAX, 1 << 63, (1 << 63) - 1];
        for bits in edges.into_iter().chain((0..100_000).map(|i| mix(i) >> (i % 64))) {
            let noise = Noise::gumbel(bits);
            assert!(noise.is_finite() && noise <= Noise::bound(bits) && noise <= Noise::MAX, "{bits:x}");
        }
    }

    #[test]
    fn confidence_is_the_greatest_probability() {
        assert!((confidence(&[0.0, 3.0_f32.ln()]) - 0.75).abs() < 1e-6);
        assert!((confidence(&[1000.0, 1000.0, f32::NAN]) - 0.5).abs() < 1e-6);
        assert_eq!(confidence(&[0.0, f32::INFINITY]), 1.0);
        assert_eq!(confidence(&[]), 0.0);
        assert_eq!(confidence(&[f32::NAN]), 0.0);
        assert!((confidence(&[f32::NAN, -3.0, f32::NEG_INFINITY]) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn confidence_agrees_with_the_standard_exponential() {
        let logits: Vec<f32> = (0..4099).map(|i| (mix(i) >> 40) as f32 / 2.0_f32.powi(19) - 16.0).collect();
        let max = logits.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum();
        assert!((f64::from(confidence(&logits)) * sum - 1.0).abs() < 1e-5);
        for i in 0..8700 {
            let x = i as f32 / -100.0;
            assert!((f64::from(exp_nonpositive(x)) / f64::from(x).exp() - 1.0).abs() < 1e-5, "{x}");
        }
    }
}
