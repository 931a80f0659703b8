//! The finished drafter's files.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use half::bf16;
use safetensors::{Dtype, tensor::TensorView};
use tricorn_model::{Drafter, DrafterInfo, DrafterKind, ModelConfig, ModelSource, formats::hf};

use crate::{error::TrainError, student::tensors::Tensors};

/// Writes beside the file and renames, so that nobody ever sees half of it, not even after a power
/// cut.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), TrainError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut file = File::create(&part).map_err(TrainError::write(&part))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(TrainError::write(&part))?;
    fs::rename(&part, path).map_err(TrainError::write(path))
}

/// Serialises tensors, naming `path` should that fail.
pub(crate) fn safetensors(
    path: &Path,
    tensors: Vec<(String, TensorView<'_>)>,
    metadata: Option<std::collections::HashMap<String, String>>,
) -> Result<Vec<u8>, TrainError> {
    safetensors::serialize(tensors, metadata)
        .map_err(|error| TrainError::write(path)(std::io::Error::other(error)))
}

/// A view of little-endian bytes, naming `path` should they not fit the shape.
pub(crate) fn view<'a>(
    path: &Path,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: &'a [u8],
) -> Result<TensorView<'a>, TrainError> {
    TensorView::new(dtype, shape, bytes)
        .map_err(|error| TrainError::write(path)(std::io::Error::other(error)))
}

/// Writes the drafter's weights, in bf16.
pub(crate) fn write_weights(
    weights: &Tensors,
    config: &ModelConfig,
    path: &Path,
) -> Result<(), TrainError> {
    let bytes = |values: &Vec<f32>| {
        values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect::<Vec<u8>>()
    };
    let bytes: Vec<Vec<u8>> = weights.all().into_iter().map(bytes).collect();
    let tensors = weights
        .kind()
        .tensors(config)
        .into_iter()
        .zip(&bytes)
        .map(|((name, shape), bytes)| Ok((name.to_owned(), view(path, Dtype::BF16, shape, bytes)?)))
        .collect::<Result<_, TrainError>>()?;
    write_atomically(path, &safetensors(path, tensors, None)?)
}

/// Reads the numbers that [`write_weights`] wrote, to train them further.
pub(crate) fn read_weights(
    path: &Path,
    kind: DrafterKind,
    config: &ModelConfig,
) -> Result<Tensors, TrainError> {
    let stored = hf::open_file(path)?;
    let mut weights = Tensors::zero(kind, config);
    for ((name, shape), values) in kind.tensors(config).into_iter().zip(weights.all_mut()) {
        *values = stored.f32(name, &shape)?;
    }
    Ok(weights)
}

/// Reads weights that [`write_weights`] wrote, to draft with them.
pub(crate) fn read_drafter(
    source: &ModelSource,
    path: &Path,
    info: DrafterInfo,
) -> Result<Drafter, TrainError> {
    Ok(Drafter::from_weights(&hf::open_file(path)?, source.config(), info)?)
}

/// The drafter's two files in `out`.
pub(crate) fn paths(out: &Path, kind: DrafterKind) -> (PathBuf, PathBuf) {
    (out.join(kind.weights_file()), out.join(kind.info_file()))
}

/// Writes the drafter's description.
pub(crate) fn write_info(info: &DrafterInfo, path: &Path) -> Result<(), TrainError> {
    let text =
        serde_json::to_vec_pretty(info).map_err(|error| TrainError::write(path)(error.into()))?;
    write_atomically(path, &text)
}
