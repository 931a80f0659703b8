//! Bundles: each side's share of a model, so that neither needs the other's weights.

use crate::{
    drafter::DrafterKind,
    error::ModelError,
    inspect::owner,
    source::{Bundle, BundlePart, MANIFEST_FILE, ModelSource},
    weights::SINGLE_FILE,
};
use safetensors::tensor::TensorView;
use serde::Serialize;
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};
use tricorn_core::Split;

/// What [`pack`] wrote.
#[derive(Clone, Debug, Serialize)]
pub struct Packed {
    /// The device's bundle.
    pub device: PathBuf,
    /// Bytes of weights in it.
    pub device_bytes: usize,
    /// The cloud's bundle.
    pub cloud: PathBuf,
    /// Bytes of weights in it.
    pub cloud_bytes: usize,
}

/// Files that both sides need.
const SHARED: [&str; 2] = ["config.json", "generation_config.json"];
/// Files that only the device needs.
const DEVICE: [&str; 3] = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"];

/// Writes `out/device` and `out/cloud`, model directories that hold one side's tensors and a manifest naming the whole model.
///
/// # Errors
/// When `source` is a bundle itself, the split does not fit, or a file cannot be read or written.
pub fn pack(source: &ModelSource, split: Split, out: &Path) -> Result<Packed, ModelError> {
    if let Some(bundle) = source.bundle() {
        return Err(ModelError::Bundle { problem: format!("a {} bundle cannot be packed again; start from the whole model", bundle.part) });
    }
    split.ranges(source.config().layers)?;
    let (device, cloud) = (out.join("device"), out.join("cloud"));
    let drafters = DrafterKind::ALL.map(|kind| [kind.info_file(), kind.weights_file()]).concat();
    let device_files = [&SHARED[..], &DEVICE[..], &drafters[..]].concat();
    let device_bytes = write(source, Bundle { part: BundlePart::Device, split }, &device, &device_files)?;
    let cloud_bytes = write(source, Bundle { part: BundlePart::Cloud, split }, &cloud, &SHARED)?;
    Ok(Packed { device, device_bytes, cloud, cloud_bytes })
}

fn write(source: &ModelSource, bundle: Bundle, dir: &Path, files: &[&str]) -> Result<usize, ModelError> {
    let cannot = |path: &Path| {
        let path = path.to_owned();
        move |source| ModelError::Write { path, source }
    };
    fs::create_dir_all(dir).map_err(cannot(dir))?;
    for name in files {
        if let Some(content) = source.file(name)? {
            let path = dir.join(name);
            fs::write(&path, content).map_err(cannot(&path))?;
        }
    }
    let (weights, layers) = (source.weights(), source.config().layers);
    let mut bytes = 0;
    let mut tensors = Vec::new();
    for (name, info) in weights.iter() {
        if owner(name, bundle.split, layers) == Some(bundle.part) {
            bytes += info.bytes();
            let view = TensorView::new(info.stored, info.shape.clone(), weights.bytes(info))
                .map_err(|error| ModelError::Corrupt { file: name.to_owned(), problem: error.to_string() })?;
            tensors.push((name, view));
        }
    }
    let path = dir.join(SINGLE_FILE);
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(tensors, Some(metadata), &path)
        .map_err(|error| ModelError::Write { path: path.clone(), source: std::io::Error::other(error) })?;
    let path = dir.join(MANIFEST_FILE);
    fs::write(&path, bundle.manifest(source.fingerprint())).map_err(cannot(&path))?;
    Ok(bytes)
}
