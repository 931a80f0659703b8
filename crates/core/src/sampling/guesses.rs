//! Guesses of what might be chosen: the tokens that another model, whose logits differ a little, is
//! likeliest to choose at a position.

use super::{SamplingParams, candidates::Candidates, confidence, noise::Noise};
use crate::Guess;

/// Sampled tokens are looked for among so many of the greatest logits.
const NEAR: usize = 32;

/// The `count` likeliest choices at position `pos` by these logits, likeliest first, with their
/// probabilities. NaN is no choice.
///
/// At temperature 0 that is the head of `softmax(logits)`. Otherwise both models choose under the
/// same noise, and what counts is how the scores `logit / T + G` of [`choose`](super::choose)
/// compare: the head of their softmax, among the 32 greatest logits that the filters leave.
#[must_use]
pub fn guesses(logits: &[f32], params: &SamplingParams, pos: usize, count: usize) -> Vec<Guess> {
    Candidates::new(logits, params.options()).guesses(pos, count)
}

impl Candidates<'_> {
    pub(super) fn guesses(&self, pos: usize, count: usize) -> Vec<Guess> {
        if self.options.temperature == 0.0 {
            let head = greatest(self.logits, count);
            let (Some(&(_, max)), most) = (head.first(), confidence(self.logits)) else {
                return Vec::new();
            };
            // Infinite logits share what there is.
            let share = |logit: f32| if logit == max { 1.0 } else { (logit - max).exp() };
            return head
                .iter()
                .map(|&(token, logit)| Guess { token, probability: share(logit) * most })
                .collect();
        }
        let (noise, temperature) =
            (Noise::new(self.options.seed, pos), f64::from(self.options.temperature));
        let score = |(token, logit): (u32, f32)| {
            (token, f64::from(logit) / temperature + Noise::gumbel(noise.bits(token)))
        };
        let near = NEAR.max(count);
        let mut scores: Vec<(u32, f64)> = match &self.kept {
            Some(kept) => kept.iter().take(near).copied().map(score).collect(),
            None => greatest(self.logits, near).into_iter().map(score).collect(),
        };
        scores.sort_by(|a, b| b.1.total_cmp(&a.1));
        let max = scores.first().map_or(0.0, |&(_, score)| score);
        let share = |score: f64| if score == max { 1.0 } else { (score - max).exp() };
        let sum: f64 = scores.iter().map(|&(_, score)| share(score)).sum();
        scores
            .into_iter()
            .take(count)
            .map(|(token, score)| Guess { token, probability: (share(score) / sum) as f32 })
            .collect()
    }
}

/// The `count` greatest logits with their tokens, greatest first, of equal ones the lowest token.
pub(super) fn greatest(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut head: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    let mut bar = f32::NEG_INFINITY;
    for (token, &logit) in (0_u32..).zip(logits) {
        // Nearly all of a vocabulary ends here.
        let full = head.len() == count;
        if logit.is_nan() || full && logit <= bar {
            continue;
        }
        let at = head.partition_point(|&(_, held)| held >= logit);
        head.insert(at, (token, logit));
        head.truncate(count);
        bar = head.last().map_or(bar, |&(_, least)| least);
    }
    head
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::choose;

    #[test]
    fn greedy_guesses_are_the_head_of_the_softmax() {
        let logits = [0.0, f32::NAN, 2.0_f32.ln(), 1.0_f32.ln(), 4.0_f32.ln()];
        let head = guesses(&logits, &SamplingParams::greedy(), 5, 3);
        assert_eq!(head.iter().map(|guess| guess.token).collect::<Vec<_>>(), [4, 2, 0]);
        for (guess, expected) in head.iter().zip([0.5, 0.25, 0.125]) {
            assert!((guess.probability - expected).abs() < 1e-6, "{guess:?}");
        }
        assert_eq!(guesses(&logits, &SamplingParams::greedy(), 5, 9).len(), 4);
        assert!(
            guesses(&logits, &SamplingParams::greedy(), 5, 0).is_empty()
                && guesses(&[], &SamplingParams::greedy(), 5, 3).is_empty()
        );
    }

    #[test]
    fn the_first_guess_is_what_would_be_chosen() {
        for pos in 0..300 {
            let logits: Vec<f32> =
                (0..20).map(|token| ((pos * 31 + token * 17) % 23) as f32 / 5.0).collect();
            for temperature in [0.0, 0.7, 1.3] {
                let params = SamplingParams::new(temperature, 3).unwrap();
                let head = guesses(&logits, &params, pos, 4);
                assert_eq!(head[0].token, choose(&logits, &params, pos));
                assert!(head.is_sorted_by(|a, b| a.probability >= b.probability));
                assert!(head.iter().map(|guess| guess.probability).sum::<f32>() < 1.0 + 1e-5);
            }
        }
    }

    #[test]
    fn odd_logits_give_odd_but_finite_guesses() {
        for logits in
            [vec![f32::INFINITY, 1.0, f32::INFINITY], vec![f32::NEG_INFINITY; 3], vec![f32::NAN; 3]]
        {
            for params in [SamplingParams::greedy(), SamplingParams::new(0.8, 1).unwrap()] {
                let head = guesses(&logits, &params, 0, 2);
                assert!(
                    head.iter().all(|guess| (0.0..=1.0).contains(&guess.probability)),
                    "{logits:?} {head:?}"
                );
            }
        }
    }
}
