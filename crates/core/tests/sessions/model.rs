//! A model in which every row depends on all rows below it, so that one stale or misplaced row changes all text after it.

use tricorn_core::{Draft, Guess, SamplingParams, TurnOptions, choose, confidence, guesses};

/// A KV cache and its layers in one: the output row at a position is a hash over the input rows up to there.
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

#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    pub(crate) seed: u64,
    pub(crate) vocab: u32,
    /// Layers on the device after the cloud (none or some).
    pub(crate) output_layers: usize,
    pub(crate) sampling: SamplingParams,
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

    pub(crate) fn target(&self, deep: u64, pos: usize) -> u32 {
        choose(&self.logits(deep), &self.sampling, pos)
    }

    /// The logits that follow `tokens`, by all layers in one place.
    pub(crate) fn whole(&self, tokens: &[u32]) -> Vec<f32> {
        let mut rows = Layers::default().forward_at(0, &self.embed(tokens));
        for _ in 0..=usize::from(self.output_layers > 0) {
            rows = Layers::default().forward_at(0, &rows);
        }
        self.logits(rows[rows.len() - 1])
    }

    /// A draft of the token after `tokens`, with its alternatives.
    pub(crate) fn draft(&self, tokens: &[u32]) -> Draft {
        let logits = self.drafter_logits(tokens);
        Draft { others: self.guesses(tokens), ..Draft::new(choose(&logits, &self.sampling, tokens.len()), confidence(&logits)) }
    }

    /// The drafter's likeliest tokens after `tokens`.
    pub(crate) fn guesses(&self, tokens: &[u32]) -> Vec<Guess> {
        guesses(&self.drafter_logits(tokens), &self.sampling, tokens.len(), 4)
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
    pub(crate) fn reference(&self, prompt: &[u32], options: &TurnOptions, context: usize) -> Vec<u32> {
        let mut tokens = prompt.to_vec();
        while tokens.len() < context && tokens.len() - prompt.len() < options.max_new_tokens {
            let token = choose(&self.whole(&tokens), &self.sampling, tokens.len());
            tokens.push(token);
            if options.stop_tokens.contains(&token) {
                break;
            }
        }
        tokens.split_off(prompt.len())
    }
}

pub(crate) fn hash(a: u64, b: u64) -> u64 {
    let x = (a.rotate_left(23) ^ b).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 29)
}
