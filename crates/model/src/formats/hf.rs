//! Hugging Face directories: safetensors, in one file or in shards that an index names.

mod safetensors;

use std::{
    collections::HashMap,
    path::{Component, Path},
};

use serde::Deserialize;

use crate::{
    error::ModelError,
    weights::{Weights, storage::Storage},
};

/// The name of unsharded weights.
pub const SINGLE_FILE: &str = "model.safetensors";
/// The name of the file that maps tensors to shards.
pub const INDEX_FILE: &str = "model.safetensors.index.json";

const MEND_WEIGHTS: &str = "a model needs model.safetensors, or model.safetensors.index.json and \
                            its shards (`hf download OWNER/MODEL --local-dir DIR`)";

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

/// Opens the weights of a model directory: `model.safetensors`, or else the shards that
/// `model.safetensors.index.json` names.
///
/// # Errors
/// When a file is missing, truncated or corrupt, or a shard's name leaves the directory.
pub fn open_dir(dir: &Path) -> Result<Weights, ModelError> {
    let single = dir.join(SINGLE_FILE);
    if single.exists() {
        return open_file(&single);
    }
    let index = dir.join(INDEX_FILE);
    if !index.exists() {
        return Err(missing_file(dir, SINGLE_FILE));
    }
    let text =
        std::fs::read(&index).map_err(|source| ModelError::Io { path: index.clone(), source })?;
    let index_name = index.display().to_string();
    let Index { weight_map } = serde_json::from_slice(&text)
        .map_err(|e| ModelError::Json { file: index_name.clone(), problem: e.to_string() })?;

    let mut shards: Vec<&String> = weight_map.values().collect();
    shards.sort_unstable();
    shards.dedup();
    if let Some(shard) = shards.iter().find(|shard| !is_plain_name(shard)) {
        return Err(ModelError::ShardPath { index: index_name, shard: (*shard).clone() });
    }
    let mut weights = Weights::empty();
    for shard in shards {
        let path = dir.join(shard);
        if !path.exists() {
            return Err(missing_file(dir, shard));
        }
        add(&mut weights, Storage::open(&path)?)?;
    }
    match weight_map.into_keys().find(|name| !weights.has(name)) {
        Some(name) => Err(ModelError::MissingTensor { name }),
        None => Ok(weights),
    }
}

/// Opens one safetensors file of any name.
///
/// # Errors
/// When it cannot be read, is truncated or is corrupt.
pub fn open_file(path: &Path) -> Result<Weights, ModelError> {
    let mut weights = Weights::empty();
    add(&mut weights, Storage::open(path)?)?;
    Ok(weights)
}

/// Reads a safetensors file that is built into the program.
///
/// # Errors
/// When it is truncated or corrupt.
pub fn open_static(name: &str, bytes: &'static [u8]) -> Result<Weights, ModelError> {
    let mut weights = Weights::empty();
    add(&mut weights, Storage::from_static(name, bytes))?;
    Ok(weights)
}

fn add(weights: &mut Weights, storage: Storage) -> Result<(), ModelError> {
    let tensors = safetensors::tensors(&storage)?;
    weights.add(storage, tensors)
}

fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    // A backslash separates folders on Windows only; refusing it everywhere keeps a directory
    // portable.
    !name.contains('\\')
        && matches!(parts.next(), Some(Component::Normal(part)) if part == name)
        && parts.next().is_none()
}

fn missing_file(dir: &Path, file: &str) -> ModelError {
    ModelError::MissingFile {
        file: file.to_owned(),
        place: dir.display().to_string(),
        mend: MEND_WEIGHTS,
    }
}
