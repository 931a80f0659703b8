//! Bundles that `tricorn pack` writes: each side's share of a model, so that neither needs the
//! other's weights, and weights packed for the kernels, which load by being mapped.

mod panels;

use crate::{
    bundle_part::BundlePart,
    drafter_kind::DrafterKind,
    error::ModelError,
    formats::{
        bundle::{
            Bundle, MANIFEST_FILE, Manifest,
            manifest::{LAYOUT, Matrix, Packed as PackedMatrices},
            panels::PANELS_FILE,
        },
        hf::SINGLE_FILE,
        names::{EMBEDDING, head_name, layer_of},
    },
    source::{ModelSource, packed_name},
    weights::{Stored, TensorInfo, Weights},
};
use panels::Panel;
use serde::Serialize;
use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, HashMap},
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

/// Writes `out/device` and `out/cloud`, model directories that hold one side's tensors and a
/// manifest naming the whole model.
///
/// Tensors stay as they are stored, unless the model is to be quantised or is stored quantised:
/// then its matrices are packed for the kernels.
///
/// # Errors
/// When `source` is a bundle or packed itself, the split does not fit, or a file cannot be read or
/// written.
pub fn pack(source: &ModelSource, split: Split, out: &Path) -> Result<Packed, ModelError> {
    check(source)?;
    split.ranges(source.config().layers)?;
    let in_panels = source.quant().is_some() || source.is_quantised();
    let (device, cloud) = (out.join("device"), out.join("cloud"));
    let write = |part, dir: &Path, files: &[&str]| {
        write(source, Some(Bundle { part, split }), in_panels, dir, files)
    };
    let device_bytes = write(BundlePart::Device, &device, &device_files())?;
    let cloud_bytes = write(BundlePart::Cloud, &cloud, &SHARED)?;
    Ok(Packed { device, device_bytes, cloud, cloud_bytes })
}

/// Writes `out`, a model directory of the whole model with its matrices packed for the kernels;
/// returns the bytes of weights in it.
///
/// # Errors
/// As [`pack`].
pub fn pack_whole(source: &ModelSource, out: &Path) -> Result<usize, ModelError> {
    check(source)?;
    write(source, None, true, out, &device_files())
}

fn check(source: &ModelSource) -> Result<(), ModelError> {
    let what = match source.bundle() {
        Some(bundle) => format!("a {} bundle", bundle.part),
        None if source.is_packed() => "a packed model".to_owned(),
        None => return Ok(()),
    };
    Err(ModelError::NotWhole { what })
}

/// The side that needs a tensor of a model of `layers` layers; `None` when neither does.
fn owner(name: &str, split: Split, layers: usize) -> Option<BundlePart> {
    let middle = split.ranges(layers).ok()?.middle;
    match layer_of(name) {
        Some(layer) if layer >= layers => None,
        Some(layer) if middle.contains(&layer) => Some(BundlePart::Cloud),
        _ => Some(BundlePart::Device),
    }
}

fn device_files() -> Vec<&'static str> {
    let drafters = DrafterKind::ALL.map(|kind| [kind.info_file(), kind.weights_file()]).concat();
    [&SHARED[..], &DEVICE[..], &drafters[..]].concat()
}

fn cannot(path: &Path) -> impl FnOnce(std::io::Error) -> ModelError {
    let path = path.to_owned();
    move |source| ModelError::Write { path, source }
}

/// Writes a part, or the whole model, and returns the bytes of weights.
fn write(
    source: &ModelSource,
    bundle: Option<Bundle>,
    in_panels: bool,
    dir: &Path,
    files: &[&str],
) -> Result<usize, ModelError> {
    fs::create_dir_all(dir).map_err(cannot(dir))?;
    for name in files {
        if let Some(content) = source.file(name)? {
            let path = dir.join(name);
            fs::write(&path, content).map_err(cannot(&path))?;
        }
    }
    let (config, weights) = (source.config(), source.weights());
    let belongs = |name: &str| match bundle {
        Some(bundle) => owner(name, bundle.split, config.layers) == Some(bundle.part),
        None => layer_of(name).is_none_or(|layer| layer < config.layers),
    };
    let head = head_name(config.tied);
    let (mut plain, mut panels) = (Vec::new(), Vec::new());
    for (name, info) in weights.iter().filter(|(name, _)| belongs(name)) {
        let is_matrix = info.shape.len() == 2 && (layer_of(name).is_some() || name == head);
        if in_panels && is_matrix {
            panels.push(Panel::new(source, name, info)?);
        }
        // A table that is the head as well is also needed by rows; a copy of it under the head's
        // name is not needed at all.
        if !(in_panels && (is_matrix || name == packed_name(head))) || name == EMBEDDING {
            plain.push((name, info));
        }
    }
    let mut packed = PackedMatrices {
        layout: LAYOUT,
        panels: BTreeMap::new(),
        rows: BTreeMap::new(),
        weights: source.weights_format().map(str::to_owned),
    };
    let mut bytes = write_tensors(weights, &plain, &mut packed.rows, &dir.join(SINGLE_FILE))?;
    if in_panels {
        bytes += panels::write(source, &panels, &dir.join(PANELS_FILE))?;
        packed.panels = panels
            .into_iter()
            .map(|panel| (packed_name(&panel.name).to_owned(), panel.matrix))
            .collect();
    }
    let manifest = Manifest {
        bundle,
        fingerprint: source.fingerprint()?,
        packed: in_panels.then_some(packed),
    };
    let path = dir.join(MANIFEST_FILE);
    fs::write(&path, manifest.to_json()).map_err(cannot(&path))?;
    Ok(bytes)
}

/// Writes tensors as they are stored. Quantised ones become plain bytes, and `rows` says what they
/// are.
fn write_tensors(
    weights: &Weights,
    tensors: &[(&str, &TensorInfo)],
    rows: &mut BTreeMap<String, Matrix>,
    path: &Path,
) -> Result<usize, ModelError> {
    let failed = RefCell::new(None);
    let mut views = Vec::new();
    for &(name, info) in tensors {
        let (dtype, shape) = match (info.stored.safetensors(), info.stored, info.shape.as_slice()) {
            (Some(dtype), ..) => (dtype, info.shape.clone()),
            (None, Stored::Known(dtype), &[outputs, inputs]) => {
                rows.insert(name.to_owned(), Matrix { dtype, outputs, inputs });
                (safetensors::Dtype::U8, vec![info.bytes()])
            }
            _ => {
                return Err(ModelError::UnsupportedDtype {
                    name: name.to_owned(),
                    dtype: info.stored.to_string(),
                });
            }
        };
        views.push((name, View { weights, info, dtype, shape, failed: &failed }));
    }
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    // The serializer renames a temporary file, which is its owner's alone; others may read a model
    // as they may read any file.
    let permissions = fs::File::create(path)
        .and_then(|file| file.metadata())
        .map_err(cannot(path))?
        .permissions();
    safetensors::serialize_to_file(views, Some(metadata), path).map_err(|error| {
        ModelError::Write { path: path.to_owned(), source: std::io::Error::other(error) }
    })?;
    fs::set_permissions(path, permissions).map_err(cannot(path))?;
    match failed.into_inner() {
        Some(error) => Err(error),
        None => Ok(tensors.iter().map(|(_, info)| info.bytes()).sum()),
    }
}

/// A tensor that is read when it is written, so that one at a time is in memory.
struct View<'a> {
    weights: &'a Weights,
    info: &'a TensorInfo,
    dtype: safetensors::Dtype,
    shape: Vec<usize>,
    /// The first tensor that could not be read; the serializer has no way to be told.
    failed: &'a RefCell<Option<ModelError>>,
}

impl safetensors::View for View<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.weights.read(self.info).unwrap_or_else(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            Cow::Borrowed(&[])
        })
    }

    fn data_len(&self) -> usize {
        self.info.bytes()
    }
}
