//! Bias and penalties: logits that depend on the tokens before.

use super::SamplingOptions;
use std::collections::HashMap;

/// The tokens that penalties look at, with how often they came up: those of the prompt, and those of a path after it.
#[derive(Debug)]
pub(super) struct History {
    seen: HashMap<u32, Seen>,
    path: Vec<u32>,
}

#[derive(Debug, Default)]
struct Seen {
    prompted: bool,
    generated: u32,
}

impl History {
    /// The history of a turn; `None` where no option looks at it.
    pub(super) fn new(options: &SamplingOptions, prompt: &[u32]) -> Option<Self> {
        let repetition = options.repetition_penalty != 1.0;
        if !repetition && options.presence_penalty == 0.0 && options.frequency_penalty == 0.0 {
            return None;
        }
        let prompt = if repetition { prompt } else { &[] };
        let seen = prompt.iter().map(|&token| (token, Seen { prompted: true, generated: 0 })).collect();
        Some(Self { seen, path: Vec::new() })
    }

    /// Goes to where the prompt is followed by `path`.
    pub(super) fn seek(&mut self, path: &[u32]) {
        let common = self.path.iter().zip(path).take_while(|(held, wanted)| held == wanted).count();
        for token in self.path.drain(common..) {
            if let Some(seen) = self.seen.get_mut(&token) {
                seen.generated -= 1;
            }
        }
        for &token in &path[common..] {
            self.seen.entry(token).or_default().generated += 1;
        }
        self.path.extend_from_slice(&path[common..]);
    }

    /// Repetition as in the `RepetitionPenaltyLogitsProcessor` of transformers (Keskar et al. 2019, arXiv 1909.05858), over prompt and text;
    /// then frequency and presence as in OpenAI's API reference, over the text: `logit -= count * frequency + (count > 0) * presence`.
    pub(super) fn penalise(&self, options: &SamplingOptions, logits: &mut [f32]) {
        for (&token, seen) in self.seen.iter().filter(|(_, seen)| seen.prompted || seen.generated > 0) {
            let Some(logit) = logits.get_mut(token as usize) else { continue };
            if *logit < 0.0 {
                *logit *= options.repetition_penalty;
            } else {
                *logit /= options.repetition_penalty;
            }
            if seen.generated > 0 {
                *logit -= seen.generated as f32 * options.frequency_penalty;
                *logit -= options.presence_penalty;
            }
        }
    }
}

/// Adds the options' bias.
pub(super) fn bias(options: &SamplingOptions, logits: &mut [f32]) {
    for (index, &(token, bias)) in options.logit_bias.iter().enumerate() {
        let said_again = options.logit_bias[index + 1..].iter().any(|&(other, _)| other == token);
        if let Some(logit) = logits.get_mut(token as usize).filter(|_| !said_again) {
            *logit += bias;
        }
    }
}
