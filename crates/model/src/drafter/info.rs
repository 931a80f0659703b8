//! What a drafter is and was trained for: the small file beside its weights.

use crate::{config::ModelConfig, drafter, error::ModelError, source::ModelSource};
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, collections::BTreeMap, fmt, str::FromStr};
use tricorn_core::{Split, SplitError};

/// The architectures of drafters. A model may have one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrafterKind {
    /// HAT's adapter: one attention block over shallow rows (arXiv 2503.18989, section 3).
    Hat,
    /// A decoder block over shallow rows fused with the deep rows that the cloud has answered
    /// (after EAGLE-3, arXiv 2503.01840).
    Fused,
}

/// The name of no kind of drafter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of drafter; use hat or fused")]
pub struct UnknownDrafterKind(String);

impl DrafterKind {
    /// All kinds, the cheapest first.
    pub const ALL: [Self; 2] = [Self::Hat, Self::Fused];

    /// The name in files and flags.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hat => "hat",
            Self::Fused => "fused",
        }
    }

    /// The weights' file, beside the model's.
    #[must_use]
    pub const fn weights_file(self) -> &'static str {
        match self {
            Self::Hat => "drafter-hat.safetensors",
            Self::Fused => "drafter-fused.safetensors",
        }
    }

    /// The description's file, beside the model's.
    #[must_use]
    pub const fn info_file(self) -> &'static str {
        match self {
            Self::Hat => "drafter-hat.json",
            Self::Fused => "drafter-fused.json",
        }
    }

    /// Names and shapes of the tensors in [`DrafterKind::weights_file`], in the order of
    /// computation; matrices are row-major, outputs first.
    #[must_use]
    pub fn tensors(self, config: &ModelConfig) -> Vec<(&'static str, Vec<usize>)> {
        match self {
            Self::Hat => drafter::hat::tensors(config),
            Self::Fused => drafter::fused::tensors(config),
        }
    }
}

impl fmt::Display for DrafterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DrafterKind {
    type Err = UnknownDrafterKind;

    fn from_str(text: &str) -> Result<Self, UnknownDrafterKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| UnknownDrafterKind(text.to_owned()))
    }
}

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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in DrafterKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
            assert!(
                kind.weights_file().contains(kind.name()) && kind.info_file().contains(kind.name())
            );
        }
        assert_eq!(
            "eagle".parse::<DrafterKind>().unwrap_err().to_string(),
            "`eagle` is no kind of drafter; use hat or fused"
        );
    }
}
