//! A model in which every row depends on all rows below it, so that one stale or misplaced row
//! changes all text after it.

use tricorn_core::{Choice, Constraint, Draft, Guess, Sampler, SamplingParams, TurnOptions};

use crate::sessions::language::Language;

/// A KV cache and its layers in one: the output row at a position is a hash over the input rows up
/// to there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers(Vec<u64>);

impl Layers {
    pub(crate) fn forward_at(&mut self, pos: usize, rows: &[u64]) -> Vec<u64> {
        assert!(pos <= self.0.len(), "rows {}..{pos} were never fed", self.0.len());
        self.0.truncate(pos);
        for &row in rows {
            let below = self.0.last().copied().unwrap_or(17);
            self.0.push(hash(below, row));
        }
        self.0[pos..].to_vec()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) seed: u64,
    pub(crate) vocab: u32,
    /// Layers in the cloud, each in a stage of its own where there are several.
    pub(crate) middle_layers: usize,
    /// Layers on the device after the cloud (none or some).
    pub(crate) output_layers: usize,
    pub(crate) sampling: SamplingParams,
    /// What the text must belong to, if to anything.
    pub(crate) language: Option<Language>,
    /// Of 8 drafts, how many come from the target's own logits.
    pub(crate) drafter_skill: u64,
}

impl Model {
    pub(crate) fn embed(&self, tokens: &[u32]) -> Vec<u64> {
        tokens.iter().map(|&token| hash(self.seed, u64::from(token))).collect()
    }

    pub(crate) fn logits(&self, deep: u64) -> Vec<f32> {
        (0..u64::from(self.vocab)).map(|token| (hash(deep, token) % 1000) as f32 / 250.0).collect()
    }

    /// A turn's sampler.
    pub(crate) fn sampler(&self, prompt: &[u32]) -> Sampler {
        let language =
            self.language.clone().map(|language| Box::new(language) as Box<dyn Constraint>);
        Sampler::new(self.sampling.clone(), prompt, language)
    }

    pub(crate) fn target(&self, sampler: &mut Sampler, deep: u64, path: &[u32]) -> Choice {
        sampler.choose(&mut self.logits(deep), path).unwrap()
    }

    /// The logits that follow `tokens`, by all layers in one place.
    pub(crate) fn whole(&self, tokens: &[u32]) -> Vec<f32> {
        let mut rows = Layers::default().forward_at(0, &self.embed(tokens));
        for _ in 0..self.middle_layers + usize::from(self.output_layers > 0) {
            rows = Layers::default().forward_at(0, &rows);
        }
        self.logits(rows[rows.len() - 1])
    }

    /// A draft of the token after `tokens`, `prompt` of which the turn began with, with its
    /// alternatives.
    pub(crate) fn draft(&self, sampler: &mut Sampler, tokens: &[u32], prompt: usize) -> Draft {
        sampler.draft(&mut self.drafter_logits(tokens), &tokens[prompt..], 4)
    }

    /// The drafter's likeliest tokens after `tokens`.
    pub(crate) fn guesses(
        &self,
        sampler: &mut Sampler,
        tokens: &[u32],
        prompt: usize,
    ) -> Vec<Guess> {
        sampler.guesses(&mut self.drafter_logits(tokens), &tokens[prompt..], 4)
    }

    fn drafter_logits(&self, tokens: &[u32]) -> Vec<f32> {
        let mut logits = self.whole(tokens);
        let luck = tokens.iter().fold(self.seed, |state, &token| hash(state, u64::from(token)));
        if luck % 8 >= self.drafter_skill {
            logits.reverse();
        }
        logits
    }

    /// What a turn must generate: token by token, without any session.
    pub(crate) fn reference(
        &self,
        prompt: &[u32],
        options: &TurnOptions,
        context: usize,
    ) -> Vec<u32> {
        let mut tokens = prompt.to_vec();
        while tokens.len() < context && tokens.len() - prompt.len() < options.max_new_tokens {
            // With a new sampler each time, which has seen no other path.
            let Choice { token, ends, .. } = self
                .sampler(prompt)
                .choose(&mut self.whole(&tokens), &tokens[prompt.len()..])
                .unwrap();
            tokens.push(token);
            if ends || options.stop_tokens.contains(&token) {
                break;
            }
        }
        tokens.split_off(prompt.len())
    }
}

pub(crate) fn hash(a: u64, b: u64) -> u64 {
    let x = (a.rotate_left(23) ^ b)
        .wrapping_add(0x9e37_79b9_7f4a_7c15)
        .wrapping_mul(0xd6e8_feb8_6659_fd93);
    let x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 29)
}
