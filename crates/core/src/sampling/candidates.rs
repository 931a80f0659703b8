//! Candidates: the tokens that take part in the choice at a position, and the draw among them.

use super::{SamplingOptions, SamplingParams, argmax, filters, noise::Noise};

/// The token for position `pos` in the sequence, given the logits of the row at `pos - 1`: drawn
/// from what top-k, top-p and min-p leave of `softmax(logits / T)`. What depends on the tokens
/// before is [`Sampler`](super::Sampler)'s.
///
/// NaN logits are never chosen while there is another; ties go to the lowest index; no logits give
/// token 0.
#[must_use]
pub fn choose(logits: &[f32], params: &SamplingParams, pos: usize) -> u32 {
    Candidates::new(logits, params.options()).choose(pos)
}

/// A position's logits, and what the filters leave of them.
#[derive(Debug)]
pub(super) struct Candidates<'a> {
    pub(super) logits: &'a [f32],
    pub(super) options: &'a SamplingOptions,
    /// Tokens with their logits, likeliest first, of equal ones the lowest token first; `None` for
    /// all.
    pub(super) kept: Option<Vec<(u32, f32)>>,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(logits: &'a [f32], options: &'a SamplingOptions) -> Self {
        // Without noise the likeliest token is chosen, and no filter takes that away.
        let kept = if options.temperature == 0.0 { None } else { filters::keep(logits, options) };
        Self { logits, options, kept }
    }

    pub(super) fn choose(&self, pos: usize) -> u32 {
        let likeliest = argmax(self.logits);
        if self.options.temperature == 0.0 || self.logits.is_empty() {
            return likeliest;
        }
        let noise = Noise::new(self.options.seed, pos);
        match &self.kept {
            Some(kept) => self.draw(likeliest, kept.iter().copied(), &noise),
            None => self.draw(likeliest, (0_u32..).zip(self.logits.iter().copied()), &noise),
        }
    }

    /// The token with the greatest `logit / T + G` among `likeliest` and `tokens`.
    fn draw(&self, likeliest: u32, tokens: impl Iterator<Item = (u32, f32)>, noise: &Noise) -> u32 {
        let temperature = f64::from(self.options.temperature);
        let mut best = likeliest;
        let mut best_score = f64::from(self.logits[likeliest as usize]) / temperature
            + Noise::gumbel(noise.bits(likeliest));
        for (token, logit) in tokens {
            let scaled = f64::from(logit) / temperature;
            // Most of a large vocabulary cannot win even with the greatest noise there is; most of
            // the rest not with the noise that the hash's leading zeros still allow. Only what is
            // left costs two logarithms. (A NaN fails the first comparison.)
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
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{super::noise::mix, *};

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
            let logits: Vec<f32> = (0..300)
                .map(|i| (mix(seed * 1000 + i) >> 40) as f32 / 2.0_f32.powi(19) - 16.0)
                .collect();
            let noise = Noise::new(seed, 3);
            let all = (0..300).map(|t| {
                f64::from(logits[t as usize]) / f64::from(0.7_f32) + Noise::gumbel(noise.bits(t))
            });
            let best = all.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            assert_eq!(choose(&logits, &params, 3) as usize, best.0);
        }
    }
}
