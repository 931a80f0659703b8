//! The manifest of a bundle: one side's part of a model, or a whole model in packed panels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tricorn_core::{Fingerprint, Split};

use crate::{bundle_part::BundlePart, error::ModelError};
use tricorn_kernels::Dtype;

/// The manifest's file name.
pub const MANIFEST_FILE: &str = "tricorn.json";
/// Number of the layout of packed panels; one more with every change of `linear/panels.rs` in the
/// kernels that changes a byte.
pub(crate) const LAYOUT: u32 = 1;

/// Contents of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Side that it is for.
    pub part: BundlePart,
    /// Where the model was cut.
    pub split: Split,
}

/// The content of `tricorn.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Part of the model that is here; `None` for all of it.
    pub bundle: Option<Bundle>,
    /// What identifies the model that it was made from.
    pub fingerprint: Fingerprint,
    /// The matrices that are packed in panels; none in a bundle of tensors as they were stored.
    pub(crate) packed: Option<Packed>,
}

/// Matrices outside the usual layout of a model's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Packed {
    /// As [`LAYOUT`] was when they were packed.
    pub(crate) layout: u32,
    /// Those in panels, by name.
    pub(crate) panels: BTreeMap<String, Matrix>,
    /// Those in rows of a quantised format, which safetensors has no name for.
    #[serde(default)]
    pub(crate) rows: BTreeMap<String, Matrix>,
    /// What [`ModelSource::weights_format`](crate::ModelSource::weights_format) said when they were
    /// packed; not said by early versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) weights: Option<String>,
}

/// A matrix's shape and format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Matrix {
    pub(crate) dtype: Dtype,
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    part: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    split: Option<String>,
    fingerprint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    packed: Option<Packed>,
}

const WHOLE: &str = "whole";

impl Manifest {
    /// The manifest of a part whose tensors are as they were stored.
    #[must_use]
    pub fn of_part(bundle: Bundle, fingerprint: Fingerprint) -> Self {
        Self { bundle: Some(bundle), fingerprint, packed: None }
    }

    /// The text of `tricorn.json`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let stored = Stored {
            part: self.bundle.map_or(WHOLE.to_owned(), |bundle| bundle.part.to_string()),
            split: self.bundle.map(|bundle| bundle.split.to_string()),
            fingerprint: self.fingerprint.to_hex(),
            packed: self.packed.clone(),
        };
        // Strings and numbers under string keys: nothing that JSON has no form for.
        serde_json::to_string_pretty(&stored).unwrap_or_default() + "\n"
    }

    /// Reads `tricorn.json`.
    ///
    /// # Errors
    /// When it is not a manifest, or its panels are in another layout than this program's.
    pub fn parse(manifest: &[u8]) -> Result<Self, ModelError> {
        let bad = |problem: String| ModelError::Bundle { problem };
        let stored: Stored = serde_json::from_slice(manifest).map_err(|e| bad(e.to_string()))?;
        let part = match stored.part.as_str() {
            "device" => Some(BundlePart::Device),
            "cloud" => Some(BundlePart::Cloud),
            WHOLE => None,
            other => return Err(bad(format!("`{other}` is no part of a model"))),
        };
        let bundle = match (part, stored.split) {
            (Some(part), Some(split)) => {
                Some(Bundle { part, split: split.parse().map_err(|e| bad(format!("{e}")))? })
            }
            (Some(part), None) => return Err(bad(format!("a {part} part without a split"))),
            (None, _) => None,
        };
        let fingerprint = Fingerprint::from_hex(&stored.fingerprint).ok_or_else(|| {
            bad(format!("the fingerprint `{}` is not 64 hexadecimal digits", stored.fingerprint))
        })?;
        match stored.packed {
            Some(Packed { layout, .. }) if layout != LAYOUT => Err(bad(format!(
                "its weights are packed in layout {layout} and this program reads layout {LAYOUT}"
            ))),
            packed => Ok(Self { bundle, fingerprint, packed }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn manifests_round_trip() {
        let bundle =
            Bundle { part: BundlePart::Cloud, split: Split { input_layers: 2, output_layers: 1 } };
        let plain = Manifest::of_part(bundle, Fingerprint([7; 32]));
        let matrix = Matrix { dtype: Dtype::Q4K, outputs: 48, inputs: 256 };
        let panels = BTreeMap::from([("a".to_owned(), matrix)]);
        let packed = Some(Packed {
            layout: LAYOUT,
            panels,
            rows: BTreeMap::new(),
            weights: Some("q4k".to_owned()),
        });
        for manifest in [
            plain.clone(),
            Manifest { packed: packed.clone(), ..plain.clone() },
            Manifest { bundle: None, packed, ..plain },
        ] {
            assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap(), manifest);
        }
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let print = Fingerprint([7; 32]).to_hex();
        for (text, named) in [
            (
                r#"{"part":"device","split":"2:0","fingerprint":"12"}"#.to_owned(),
                "fingerprint `12`",
            ),
            (
                format!(r#"{{"part":"phone","split":"2:0","fingerprint":"{print}"}}"#),
                "`phone` is no part",
            ),
            (format!(r#"{{"part":"cloud","fingerprint":"{print}"}}"#), "without a split"),
            (
                format!(
                    r#"{{"part":"whole","fingerprint":"{print}",
                        "packed":{{"layout":9,"panels":{{}}}}}}"#
                ),
                "layout 9 and this",
            ),
            (
                format!(
                    r#"{{"part":"whole","fingerprint":"{print}","packed":{{"layout":1,
                        "panels":{{"a":{{"dtype":"Q3","outputs":1,"inputs":1}}}}}}}}"#
                ),
                "Q3",
            ),
        ] {
            let error = Manifest::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("`tricorn pack`"), "{error}");
        }
    }
}
