//! The description of a drafter: the small file beside its weights.

use crate::{drafter_kind::DrafterKind, error::ModelError, source::ModelSource};
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, collections::BTreeMap};
use tricorn_core::{Split, SplitError};

/// What a drafter was trained for and how well it does: the content of [`DrafterKind::info_file`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrafterInfo {
    /// The architecture.
    pub kind: DrafterKind,
    /// The split whose shallow rows it was trained on.
    pub split: String,
    /// The model it was trained for, 64 hexadecimal digits.
    pub fingerprint: String,
    /// Confidence below which drafting should stop.
    pub threshold: f32,
    /// Tokens seen in training.
    pub trained_tokens: u64,
    /// Whatever else the trainer measured.
    #[serde(flatten)]
    pub measured: BTreeMap<String, serde_json::Value>,
}

impl DrafterInfo {
    /// The description of the drafter of `kind` beside a model; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read, or describes another kind.
    pub fn read(source: &ModelSource, kind: DrafterKind) -> Result<Option<Self>, ModelError> {
        let name = kind.info_file();
        let Some(json) = source.file(name)? else { return Ok(None) };
        let info: Self =
            serde_json::from_slice(&json).map_err(|error| broken(format!("{name}: {error}")))?;
        if info.kind == kind {
            Ok(Some(info))
        } else {
            Err(broken(format!("{name} describes a drafter of kind {}", info.kind)))
        }
    }

    /// The descriptions of all drafters beside a model, in the order of [`DrafterKind::ALL`].
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn read_all(source: &ModelSource) -> Result<Vec<Self>, ModelError> {
        DrafterKind::ALL
            .into_iter()
            .filter_map(|kind| Self::read(source, kind).transpose())
            .collect()
    }

    /// The split whose shallow rows it was trained on.
    ///
    /// # Errors
    /// When the description names none.
    pub fn split(&self) -> Result<Split, ModelError> {
        self.split.parse().map_err(|error: SplitError| broken(error.to_string()))
    }

    /// Which drafter is expected to gain more time: by the speed over decoding without drafts, the
    /// drafts' own cost counted, that the trainers measured on held-out prompts; where that is
    /// equal or nobody did, by tokens per verification round.
    #[must_use]
    pub fn cmp_by_gain(&self, other: &Self) -> Ordering {
        let speedup = |info: &Self| {
            info.measured
                .get("held_out")
                .and_then(|found| found.pointer("/best/speedup")?.as_f64())
                .unwrap_or(0.0)
        };
        let tokens = |info: &Self| {
            info.measured.get("tokens_per_round").and_then(serde_json::Value::as_f64).unwrap_or(0.0)
        };
        speedup(self).total_cmp(&speedup(other)).then(tokens(self).total_cmp(&tokens(other)))
    }
}

pub(super) fn broken(problem: String) -> ModelError {
    ModelError::BrokenDrafter { problem }
}
