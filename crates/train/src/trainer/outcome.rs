//! Outcome of a run, and what a finished drafter's description says of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{accept::HeldOutReport, config::DistillConfig, history::History};

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The budget is used up.
    Budget,
    /// The drafter stopped improving.
    Flat,
    /// It was asked to stop; it can be resumed.
    Stopped,
}

/// What a run leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Why it ended.
    pub end: End,
    /// Steps done, earlier runs included.
    pub steps: u64,
    /// Tokens trained, earlier runs included.
    pub tokens: u64,
    /// The drafter, measured; `None` when the run was asked to stop.
    pub report: Option<HeldOutReport>,
    /// The history of the measurements.
    pub history: History,
}

/// What [`DrafterInfo::measured`](tricorn_model::DrafterInfo::measured) says of a drafter that was
/// trained for `steps` steps.
pub(super) fn measured(
    config: &DistillConfig,
    steps: u64,
    unroll: usize,
    report: &HeldOutReport,
) -> BTreeMap<String, Value> {
    let training = json!({
        "steps": steps,
        "batch_tokens": config.batch_tokens,
        "context": config.context,
        "earlier_tokens": config.earlier_tokens,
        "learning_rate": config.learning_rate,
        "ce_weight": config.ce_weight,
        "own_text": config.own_text,
        "seed": config.seed,
        "unroll": unroll,
    });
    BTreeMap::from([
        ("tokens_per_round".to_owned(), json!(report.best.tokens_per_round)),
        ("held_out".to_owned(), json!(report)),
        ("training".to_owned(), training),
    ])
}
