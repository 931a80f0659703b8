//! Bias and penalties: logits that depend on the tokens before.

use super::SamplingOptions;
use std::collections::HashMap;

/// The tokens that penalties look at, with how often they came up: those of the prompt, and those
/// of a path after it.
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
        let seen =
            prompt.iter().map(|&token| (token, Seen { prompted: true, generated: 0 })).collect();
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

    /// Repetition as in the `RepetitionPenaltyLogitsProcessor` of transformers (Keskar et al. 2019,
    /// arXiv 1909.05858), over prompt and text; then frequency and presence as in OpenAI's API
    /// reference, over the text: `logit -= count * frequency + (count > 0) * presence`.
    pub(super) fn penalise(&self, options: &SamplingOptions, logits: &mut [f32]) {
        for (&token, seen) in
            self.seen.iter().filter(|(_, seen)| seen.prompted || seen.generated > 0)
        {
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

/// Adds the bias of checked options, which name a token once.
pub(super) fn bias(options: &SamplingOptions, logits: &mut [f32]) {
    for &(token, bias) in &options.logit_bias {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit += bias;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::SamplingParams;

    fn penalised(options: &SamplingOptions, prompt: &[u32], paths: &[&[u32]]) -> Vec<f32> {
        let mut history = History::new(options, prompt).unwrap();
        paths.iter().for_each(|path| history.seek(path));
        let mut logits = vec![1.0, -1.0, 2.0, -2.0];
        history.penalise(options, &mut logits);
        logits
    }

    #[test]
    fn presence_counts_once_and_frequency_each_time_in_the_text_only() {
        let options = SamplingOptions {
            presence_penalty: 0.5,
            frequency_penalty: 0.25,
            ..SamplingOptions::default()
        };
        assert_eq!(penalised(&options, &[2, 3], &[&[0, 1, 0]]), [0.0, -1.75, 2.0, -2.0]);
    }

    #[test]
    fn repetition_multiplies_in_prompt_and_text() {
        let options = SamplingOptions { repetition_penalty: 2.0, ..SamplingOptions::default() };
        assert_eq!(penalised(&options, &[0, 3, 3], &[&[1, 1]]), [0.5, -2.0, 2.0, -4.0]);
    }

    #[test]
    fn a_path_that_is_left_leaves_no_trace() {
        let options = SamplingOptions {
            frequency_penalty: 1.0,
            repetition_penalty: 2.0,
            ..SamplingOptions::default()
        };
        let ways: [&[u32]; 4] = [&[0, 1, 2, 2], &[0, 3], &[], &[0, 1]];
        assert_eq!(penalised(&options, &[1], &ways), penalised(&options, &[1], &[&[0, 1]]));
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_asked_for() {
        assert!(History::new(&SamplingOptions::default(), &[1, 2]).is_none());
    }

    #[test]
    fn of_two_biases_for_a_token_the_last_counts() {
        let options = SamplingOptions {
            logit_bias: vec![(1, 5.0), (0, 1.0), (1, -1.0), (9, 1.0)],
            ..SamplingOptions::default()
        };
        let checked = SamplingParams::checked(options).unwrap();
        let mut logits = vec![0.0; 3];
        bias(checked.options(), &mut logits);
        assert_eq!(logits, [1.0, -1.0, 0.0]);
    }
}
