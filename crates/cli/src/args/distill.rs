//! Flags of `tricorn distill`.

use super::{ModelArgs, named};
use clap::Args as ClapArgs;
use std::path::PathBuf;
use tricorn_model::DrafterKind;

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Ctrl-C stops cleanly: a checkpoint is written and --resume goes on from it. A second one ends at \
                        once.

Example:
  tricorn distill --model DIR --data train.jsonl --valid valid.jsonl --out drafter --minutes 60
  cp drafter/drafter-* DIR/        # where `tricorn run` finds it")]
pub(crate) struct DistillArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Texts to learn from: one JSON object a line with the fields `prompt` and `response`
    #[arg(long, value_name = "FILE", required_unless_present = "measure")]
    pub(crate) data: Option<PathBuf>,
    /// Held-out texts, in the same form; their prompts measure the accepted length
    #[arg(long, value_name = "FILE")]
    pub(crate) valid: PathBuf,
    /// Folder for drafter, checkpoint, history and plot
    #[arg(long, value_name = "DIR", required_unless_present = "measure")]
    pub(crate) out: Option<PathBuf>,
    /// Train nothing: measure the drafter beside the model on the prompts of --valid
    #[arg(long, conflicts_with_all = ["data", "out", "resume"])]
    pub(crate) measure: bool,
    /// The drafter: hat, a small adapter, or fused, a decoder block that also reads the cloud's
    /// answers [default: hat; to measure, the best]
    #[arg(long, value_name = "KIND", value_parser = named::drafter(), hide_possible_values = true)]
    pub(crate) kind: Option<DrafterKind>,
    /// Steps over which the fused drafter learns from its own guesses, the first included, up to 16
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) unroll: usize,
    /// Stop after so many minutes [default: 30, unless --tokens or --steps is given]
    #[arg(long, value_name = "N")]
    pub(crate) minutes: Option<f64>,
    /// Stop after so many tokens
    #[arg(long, value_name = "N")]
    pub(crate) tokens: Option<u64>,
    /// Stop after so many optimiser steps
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<u64>,
    /// Stop after so many measurements in a row without half a percent of progress
    #[arg(long, value_name = "N")]
    pub(crate) stop_when_flat: Option<usize>,
    /// Share of the training texts whose response the model writes itself, as it will when drafts
    /// are judged
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    pub(crate) own_text: f64,
    /// Tokens a batch
    #[arg(long, value_name = "N", default_value_t = 2048)]
    pub(crate) batch_tokens: usize,
    /// Tokens after which a text is cut [default: 512, or the model's context if that is less]
    #[arg(long, value_name = "N")]
    pub(crate) context: Option<usize>,
    /// Put up to so many tokens of other texts before half of the texts, so that the drafter learns
    /// at the positions of long conversations
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) earlier_tokens: usize,
    /// Start from the drafter of this kind in DIR, such as that of an earlier version of the model
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) from: Option<PathBuf>,
    /// Memory for texts that later epochs take up again, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    pub(crate) lesson_memory: usize,
    /// Peak learning rate
    #[arg(long, value_name = "RATE", default_value_t = 0.02)]
    pub(crate) learning_rate: f64,
    /// Weight of the cross-entropy beside SmoothL1: 0.1 as in HAT; small models gain from more
    #[arg(long, value_name = "W", default_value_t = 0.1)]
    pub(crate) ce_weight: f64,
    /// Seed of the order of texts and of the first weights
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Trained tokens between measurements
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    pub(crate) eval_every: u64,
    /// Held-out prompts to measure with
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) eval_prompts: usize,
    /// Tokens written after each of them
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) eval_tokens: usize,
    /// Most drafts in a round when measuring, up to 64
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) max_draft: usize,
    /// Time of one draft over the time of a verification round, for choosing the threshold
    /// [default: measured here, without any link]
    #[arg(long, value_name = "RATIO")]
    pub(crate) draft_cost: Option<f64>,
    /// Go on from the checkpoint in --out
    #[arg(long)]
    pub(crate) resume: bool,
    /// Print one JSON object a line: progress, measurements and the result
    #[arg(long)]
    pub(crate) json: bool,
}
