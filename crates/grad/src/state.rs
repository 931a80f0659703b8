//! Saved state: named `f32` tensors in a safetensors file.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::error::GradError;

/// A file of the tensors, given by name, shape and numbers.
pub(crate) fn serialise<'a>(
    tensors: impl Iterator<Item = (String, Vec<usize>, &'a [f32])>,
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>, GradError> {
    let stored: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .map(|(name, shape, values)| {
            (name, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
        })
        .collect();
    let views = stored
        .iter()
        .map(|(name, shape, bytes)| {
            TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name.as_str(), view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(problem)?;
    safetensors::serialize(views, metadata).map_err(problem)
}

/// The file's tensors.
pub(crate) fn read(bytes: &[u8]) -> Result<SafeTensors<'_>, GradError> {
    SafeTensors::deserialize(bytes).map_err(problem)
}

/// The file's metadata under a key.
pub(crate) fn metadata(bytes: &[u8], key: &str) -> Result<Option<String>, GradError> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(problem)?;
    Ok(metadata.metadata().as_ref().and_then(|metadata| metadata.get(key)).cloned())
}

/// The numbers of a tensor of this shape.
pub(crate) fn tensor(
    stored: &SafeTensors<'_>,
    name: &str,
    shape: &[usize],
) -> Result<Vec<f32>, GradError> {
    let tensor = stored.tensor(name).map_err(problem)?;
    if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
        return Err(GradError::State(format!("tensor {name} has another shape or format")));
    }
    Ok(tensor.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect())
}

fn problem(error: safetensors::SafeTensorError) -> GradError {
    GradError::State(error.to_string())
}
