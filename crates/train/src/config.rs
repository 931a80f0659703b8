//! Settings of a training run.

use std::{path::PathBuf, time::Duration};

use tricorn_core::Split;
use tricorn_model::{DrafterKind, ModelConfig};

use crate::error::TrainError;

/// Most drafts in a round that is measured: what a round gains falls with every draft, what
/// measuring takes does not.
const MAX_DRAFT: usize = 64;
/// Most steps over which a drafter learns from its own guesses; each takes another pass.
const MAX_UNROLL: usize = 16;

/// When a run ends: as soon as any of the limits given is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// Optimiser steps.
    pub steps: Option<u64>,
    /// Trained tokens.
    pub tokens: Option<u64>,
    /// Minutes of training, those before a resumption included.
    pub minutes: Option<f64>,
}

/// How acceptance is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldOutConfig {
    /// How many prompts, from the start of the validation file.
    pub prompts: usize,
    /// Tokens that the model writes after each prompt.
    pub new_tokens: usize,
    /// Most drafts in a round.
    pub max_draft: usize,
    /// Time of one draft over the time of a verification round (upload, cloud and download
    /// included), for choosing the best threshold; measured on this machine without any link when
    /// not given.
    pub draft_cost: Option<f64>,
}

/// Settings of [`distill`](crate::distill).
///
/// Tokens per round quoted for some of them come from single runs on the demonstration model,
/// measured on 24 held-out prompts of 128 tokens each with up to 8 drafts and no threshold; with
/// threshold 0.6 they are about a third lower.
#[derive(Clone, Debug, PartialEq)]
pub struct DistillConfig {
    /// The drafter's architecture.
    pub kind: DrafterKind,
    /// Steps over which the fused drafter is unrolled on its own outputs, the first included. HAT's
    /// adapter does not read them.
    pub unroll: usize,
    /// Where the model is cut; the drafter fits the first cut only.
    pub split: Split,
    /// JSONL file of prompts and responses to learn from.
    pub data: PathBuf,
    /// JSONL file of held-out prompts.
    pub valid: PathBuf,
    /// Directory for the drafter, the checkpoint and the history; made when missing.
    pub out: PathBuf,
    /// When to stop.
    pub budget: Budget,
    /// Tokens of a batch, at least; the last sequence is never split.
    pub batch_tokens: usize,
    /// Sequences are cut after so many tokens.
    pub context: usize,
    /// Half of the sequences come after up to so many tokens of other examples, as a turn comes
    /// late in a long conversation: drafts at high positions are learnt from nothing else where
    /// examples are short. 0 for none.
    pub earlier_tokens: usize,
    /// A drafter of the same kind and shape to start from, by its directory, such as that of an
    /// earlier version of the model. Otherwise the drafter starts from one of the model's layers.
    pub from: Option<PathBuf>,
    /// Peak of the learning rate. Much higher than for a whole model: with the demonstration model
    /// 0.003, 0.01 and 0.03 gave 2.0, 2.7 and 2.9 tokens per round after 300,000 tokens.
    pub learning_rate: f64,
    /// Steps until the peak.
    pub warmup_steps: u64,
    /// Weight of the cross-entropy in the loss; 0.1 in HAT. More is better at the same number of
    /// tokens: with the demonstration model 0.1, 1 and 10 gave 2.65, 2.94 and 3.07 tokens per round
    /// after 300,000 tokens.
    pub ce_weight: f64,
    /// Elements of the gradient are clipped to plus or minus this.
    pub clip: f32,
    /// Seed of the order of examples and of random initial weights.
    pub seed: u64,
    /// Share (0 to 1) of sequences whose response is what the model itself writes greedily, which
    /// is what drafts are judged against. With the demonstration model and otherwise equal settings
    /// none and all gave 1.6 and 2.0 tokens per round after 300,000 tokens.
    pub own_text: f64,
    /// Tokens that the model writes for such a sequence.
    pub own_text_tokens: usize,
    /// Bytes of memory for lessons that later epochs take up again instead of letting the model
    /// write and read them anew.
    pub lesson_memory: usize,
    /// Time between checkpoints.
    pub checkpoint_every: Duration,
    /// Trained tokens between measurements on the held-out prompts.
    pub eval_every: u64,
    /// How acceptance is measured.
    pub held_out: HeldOutConfig,
    /// Stop after so many measurements in a row that are not at least 0.5 % better than the best
    /// before them.
    pub stop_when_flat: Option<usize>,
    /// Go on from the checkpoint in `out`.
    pub resume: bool,
}

impl Default for HeldOutConfig {
    fn default() -> Self {
        Self { prompts: 16, new_tokens: 64, max_draft: 8, draft_cost: None }
    }
}

impl HeldOutConfig {
    pub(crate) fn validate(&self) -> Result<(), TrainError> {
        let bad = |setting, problem: String| Err(TrainError::Config { setting, problem });
        for (setting, value) in
            [("--eval-prompts", self.prompts), ("--eval-tokens", self.new_tokens)]
        {
            if value == 0 {
                return bad(setting, "is 0; use at least 1".to_owned());
            }
        }
        if !(1..=MAX_DRAFT).contains(&self.max_draft) {
            return bad("--max-draft", format!("is {}; use 1 to {MAX_DRAFT}", self.max_draft));
        }
        match self.draft_cost {
            Some(cost) if !(cost >= 0.0 && cost.is_finite()) => {
                bad("--draft-cost", format!("is {cost}; use a number of at least 0"))
            }
            _ => Ok(()),
        }
    }
}

impl DistillConfig {
    /// Settings that train the demonstration model's drafter well (see the fields for what was
    /// tried); a budget must be set.
    #[must_use]
    pub fn new(data: PathBuf, valid: PathBuf, out: PathBuf) -> Self {
        Self {
            kind: DrafterKind::Hat,
            unroll: 4,
            split: Split { input_layers: 2, output_layers: 0 },
            data,
            valid,
            out,
            budget: Budget::default(),
            batch_tokens: 2048,
            context: 512,
            earlier_tokens: 0,
            from: None,
            learning_rate: 0.02,
            warmup_steps: 50,
            ce_weight: 0.1,
            clip: 0.5,
            seed: 1,
            own_text: 0.9,
            own_text_tokens: 192,
            lesson_memory: 4 << 30,
            checkpoint_every: Duration::from_secs(60),
            eval_every: 500_000,
            held_out: HeldOutConfig::default(),
            stop_when_flat: None,
            resume: false,
        }
    }

    /// Checks every setting against its range and the model.
    ///
    /// # Errors
    /// [`TrainError::Config`] for the first setting that makes no sense.
    pub fn validate(&self, model: &ModelConfig) -> Result<(), TrainError> {
        let bad = |setting, problem: String| Err(TrainError::Config { setting, problem });
        self.split.ranges(model.layers).map_err(tricorn_model::ModelError::from)?;
        if self.context < 2 || self.context > model.context {
            return bad(
                "--context",
                format!("is {}; use 2 to the model's {}", self.context, model.context),
            );
        }
        if self.earlier_tokens >= self.context {
            return bad(
                "--earlier-tokens",
                format!(
                    "is {}; use fewer than the context of {}",
                    self.earlier_tokens, self.context
                ),
            );
        }
        let within_one = |value: f64| (0.0..=1.0).contains(&value);
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let budget = &self.budget;
        if budget.steps.is_none() && budget.tokens.is_none() && budget.minutes.is_none() {
            return bad("budget", "has no limit; give --steps, --tokens or --minutes".to_owned());
        }
        if let Some(minutes) = budget.minutes.filter(|&minutes| !positive(minutes)) {
            return bad("--minutes", format!("is {minutes}; use a number above 0"));
        }
        for (setting, is_zero) in [
            ("--steps", budget.steps == Some(0)),
            ("--tokens", budget.tokens == Some(0)),
            ("--batch-tokens", self.batch_tokens == 0),
            ("own-text tokens", self.own_text_tokens == 0),
            ("--eval-every", self.eval_every == 0),
            ("--stop-when-flat", self.stop_when_flat == Some(0)),
        ] {
            if is_zero {
                return bad(setting, "is 0; use at least 1".to_owned());
            }
        }
        if !(1..=MAX_UNROLL).contains(&self.unroll) {
            return bad("--unroll", format!("is {}; use 1 to {MAX_UNROLL}", self.unroll));
        }
        self.held_out.validate()?;
        if !positive(self.learning_rate) || self.learning_rate > 1.0 {
            return bad(
                "--learning-rate",
                format!(
                    "is {}; use a number above 0 and at most 1, such as 0.002",
                    self.learning_rate
                ),
            );
        }
        if !positive(f64::from(self.clip)) {
            return bad("clip", format!("is {}; use a number above 0, such as 0.5", self.clip));
        }
        if !(self.ce_weight >= 0.0 && self.ce_weight.is_finite()) {
            return bad(
                "--ce-weight",
                format!("is {}; use 0 or more, such as 0.1", self.ce_weight),
            );
        }
        if !within_one(self.own_text) {
            return bad("--own-text", format!("is {}; use a share from 0 to 1", self.own_text));
        }
        Ok(())
    }
}
