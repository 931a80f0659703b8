//! The manifest of a bundle: one part of a model, made by `tricorn pack`.

use std::fmt;

use serde::Deserialize;
use tricorn_core::{Fingerprint, Split};

use crate::error::ModelError;

/// The manifest's file name.
pub const MANIFEST_FILE: &str = "tricorn.json";

/// Who a bundle is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
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

/// What a bundle holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Whose part.
    pub part: BundlePart,
    /// Where the model was cut.
    pub split: Split,
}

#[derive(Deserialize)]
struct Manifest {
    part: BundlePart,
    split: String,
    fingerprint: String,
}

impl Bundle {
    /// The content of `tricorn.json` for a bundle cut from the model of this fingerprint.
    #[must_use]
    pub fn manifest(&self, fingerprint: Fingerprint) -> String {
        format!(
            "{{\n  \"part\": \"{}\",\n  \"split\": \"{}\",\n  \"fingerprint\": \"{}\"\n}}\n",
            self.part,
            self.split,
            fingerprint.to_hex()
        )
    }

    /// Reads `tricorn.json`.
    ///
    /// # Errors
    /// When it is not a manifest.
    pub fn parse(manifest: &[u8]) -> Result<(Self, Fingerprint), ModelError> {
        let bad = |problem: String| ModelError::Bundle { problem };
        let manifest: Manifest = serde_json::from_slice(manifest).map_err(|e| bad(e.to_string()))?;
        let split = manifest.split.parse().map_err(|e| bad(format!("{e}")))?;
        let fingerprint = Fingerprint::from_hex(&manifest.fingerprint)
            .ok_or_else(|| bad(format!("the fingerprint `{}` is not 64 hexadecimal digits", manifest.fingerprint)))?;
        Ok((Self { part: manifest.part, split }, fingerprint))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn manifest_round_trip() {
        let bundle = Bundle { part: BundlePart::Cloud, split: Split { input_layers: 2, output_layers: 1 } };
        let print = Fingerprint([7; 32]);
        assert_eq!(Bundle::parse(bundle.manifest(print).as_bytes()).unwrap(), (bundle, print));
        assert!(Bundle::parse(br#"{"part":"device","split":"2:0","fingerprint":"12"}"#).is_err());
        assert!(Bundle::parse(br#"{"part":"phone","split":"2:0","fingerprint":""}"#).is_err());
    }
}
