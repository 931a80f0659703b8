//! The side that a bundle is for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Side that a bundle is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BundlePart {
    /// Embedding, first and last layers, norm and head.
    Device,
    /// The layers between.
    Cloud,
}

impl fmt::Display for BundlePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Device => "device",
            Self::Cloud => "cloud",
        })
    }
}
