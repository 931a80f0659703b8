//! Sampler of one turn: the model's choices, and the drafts of what it may choose.

use super::{
    Constraint, ConstraintFailed, Logprobs, SamplingParams, candidates::Candidates, confidence,
    logprobs::RawLogprobs, penalties, penalties::History,
};
use crate::{Draft, Guess};

/// Chooses the tokens of one turn.
///
/// Every choice is for a *path*: the tokens generated before it, drafts included. It is a pure
/// function of the logits, the parameters, the prompt and the path, so that drafts, which are
/// chosen in the same way from other logits, have no influence on the text; and there is nothing to
/// take back when they are refused.
///
/// Logits are changed in place: bias and penalties are added, and those of tokens that the
/// constraint forbids become NaN.
#[derive(Debug)]
pub struct Sampler {
    params: SamplingParams,
    prompt: usize,
    history: Option<History>,
    constraint: Option<Box<dyn Constraint>>,
    logprobs: Option<usize>,
}

/// The model's token for a position.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The token.
    pub token: u32,
    /// No token can follow it: the constraint's language has no longer text.
    pub ends: bool,
    /// What the model held of the position, where that is asked for.
    pub logprobs: Option<Logprobs>,
}

impl Sampler {
    /// The sampler of a turn that follows `prompt`.
    #[must_use]
    pub fn new(
        params: SamplingParams,
        prompt: &[u32],
        constraint: Option<Box<dyn Constraint>>,
    ) -> Self {
        let history = History::new(params.options(), prompt);
        Self { params, prompt: prompt.len(), history, constraint, logprobs: None }
    }

    /// The same with log-probabilities of each token chosen and of so many of the likeliest, where
    /// asked for.
    #[must_use]
    pub fn with_logprobs(self, top: Option<usize>) -> Self {
        Self { logprobs: top, ..self }
    }

    /// The model's token after `path`, by its logits there.
    ///
    /// # Errors
    /// When the constraint allows no token or cannot tell.
    pub fn choose(&mut self, logits: &mut [f32], path: &[u32]) -> Result<Choice, ConstraintFailed> {
        let raw = self.logprobs.map(|top| (RawLogprobs::new(logits), top));
        if !self.adjust(logits, path)? {
            return Err(ConstraintFailed { problem: "no token may follow".to_owned() });
        }
        let token = Candidates::new(logits, self.params.options()).choose(self.prompt + path.len());
        Ok(Choice {
            token,
            ends: self.ends(path, token)?,
            logprobs: raw.map(|(raw, top)| raw.of(token, top)),
        })
    }

    /// A draft of the token after `path`, by a drafter's logits there, with as many `others`.
    ///
    /// Where the constraint cannot tell what is allowed nothing follows the draft: only
    /// [`choose`](Self::choose) has a say in the text.
    pub fn draft(&mut self, logits: &mut [f32], path: &[u32], others: usize) -> Draft {
        if !self.adjust(logits, path).unwrap_or(false) {
            return Draft { ends: true, ..Draft::default() };
        }
        let candidates = Candidates::new(logits, self.params.options());
        let pos = self.prompt + path.len();
        let token = candidates.choose(pos);
        let others = if others > 0 { candidates.guesses(pos, others) } else { Vec::new() };
        Draft {
            token,
            confidence: confidence(logits),
            others,
            ends: self.ends(path, token).unwrap_or(true),
        }
    }

    /// What else may follow `path`, by a drafter's logits there: the `count` likeliest choices.
    ///
    /// None where the constraint cannot tell what is allowed.
    pub fn guesses(&mut self, logits: &mut [f32], path: &[u32], count: usize) -> Vec<Guess> {
        let pos = self.prompt + path.len();
        let any = self.adjust(logits, path).unwrap_or(false);
        if any {
            Candidates::new(logits, self.params.options()).guesses(pos, count)
        } else {
            Vec::new()
        }
    }

    /// Whether there is anything to choose; all options but those of the draw are applied.
    fn adjust(&mut self, logits: &mut [f32], path: &[u32]) -> Result<bool, ConstraintFailed> {
        penalties::bias(self.params.options(), logits);
        if let Some(history) = &mut self.history {
            history.seek(path);
            history.penalise(self.params.options(), logits);
        }
        let Some(constraint) = &mut self.constraint else { return Ok(true) };
        let allowed = constraint.allowed(path)?;
        allowed.apply(logits);
        Ok(!allowed.is_empty())
    }

    fn ends(&mut self, path: &[u32], token: u32) -> Result<bool, ConstraintFailed> {
        let Some(constraint) = &mut self.constraint else { return Ok(false) };
        constraint.is_complete(&[path, &[token]].concat())
    }
}
