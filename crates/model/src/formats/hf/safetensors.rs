//! The header of a safetensors file.

use safetensors::tensor::Metadata;

use crate::{
    error::ModelError,
    weights::{Stored, TensorInfo, storage::Storage},
};
use tricorn_kernels::Dtype;

const MAX_HEADER: u64 = 100_000_000;

/// What the file holds; every range is checked to lie inside it.
pub(super) fn tensors(storage: &Storage) -> Result<Vec<(String, TensorInfo)>, ModelError> {
    let (file, found) = (storage.name(), storage.len());
    let corrupt = |problem: String| ModelError::Corrupt { file: file.to_owned(), problem };

    let length = storage.read(0..8)?;
    let length = u64::from_le_bytes(*length.first_chunk().unwrap_or(&[0; 8]));
    if length > MAX_HEADER {
        return Err(corrupt(format!("its header would be {length} bytes long")));
    }
    let start = 8 + length;
    let text = storage.read(8..start)?;
    let metadata: Metadata = serde_json::from_slice(&text).map_err(|e| corrupt(e.to_string()))?;
    match start.checked_add(metadata.data_len() as u64) {
        Some(expected) if expected == found => {}
        Some(expected) if expected > found => {
            return Err(ModelError::Truncated { file: file.to_owned(), expected, found });
        }
        _ => return Err(corrupt("it goes on after its last tensor".to_owned())),
    }
    let info = |info: &safetensors::tensor::TensorInfo| TensorInfo {
        shape: info.shape.clone(),
        stored: Stored::from(info.dtype),
        range: start + info.data_offsets.0 as u64..start + info.data_offsets.1 as u64,
        file: 0,
        rotary: None,
    };
    Ok(metadata.tensors().into_iter().map(|(name, stored)| (name, info(stored))).collect())
}

impl From<safetensors::Dtype> for Stored {
    fn from(dtype: safetensors::Dtype) -> Self {
        match dtype {
            safetensors::Dtype::F32 => Self::Known(Dtype::F32),
            safetensors::Dtype::F16 => Self::Known(Dtype::F16),
            safetensors::Dtype::BF16 => Self::Known(Dtype::Bf16),
            other => Self::Other(other),
        }
    }
}

impl Stored {
    /// The name of this format in safetensors files; `None` for formats that they do not know.
    #[must_use]
    pub fn safetensors(self) -> Option<safetensors::Dtype> {
        match self {
            Self::Known(Dtype::F32) => Some(safetensors::Dtype::F32),
            Self::Known(Dtype::F16) => Some(safetensors::Dtype::F16),
            Self::Known(Dtype::Bf16) => Some(safetensors::Dtype::BF16),
            Self::Known(_) => None,
            Self::Other(other) => Some(other),
        }
    }
}
