//! Kinds of drafters.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

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
