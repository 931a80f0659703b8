//! Tensors by name, from safetensors files that are mapped into memory: only the bytes of the tensors asked for are ever read.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    ops::Range,
    path::{Component, Path},
};

use memmap2::Mmap;
use safetensors::tensor::Metadata;
use serde::Deserialize;

pub use crate::quant::Dtype;
use crate::{error::ModelError, quant::decode};

/// The name of unsharded weights.
pub const SINGLE_FILE: &str = "model.safetensors";
/// The name of the file that maps tensors to shards.
pub const INDEX_FILE: &str = "model.safetensors.index.json";

const MAX_HEADER: u64 = 100_000_000;
const MEND_WEIGHTS: &str =
    "a model needs model.safetensors, or model.safetensors.index.json and its shards (`hf download OWNER/MODEL --local-dir DIR`)";

/// A tensor as it is stored: little-endian, row-major, rows of whole blocks, at any alignment.
#[derive(Clone, Copy, Debug)]
pub struct RawTensor<'a> {
    /// Format of the numbers.
    pub dtype: Dtype,
    /// All the numbers.
    pub bytes: &'a [u8],
}

impl<'a> RawTensor<'a> {
    /// How many numbers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.block_bytes() * self.dtype.block_len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// `count` numbers from number `from` on, both whole numbers of blocks; fewer where the tensor ends.
    #[must_use]
    pub fn slice(&self, from: usize, count: usize) -> RawTensor<'a> {
        let bytes = |numbers: usize| (numbers / self.dtype.block_len()).saturating_mul(self.dtype.block_bytes()).min(self.bytes.len());
        let end = bytes(from.saturating_add(count));
        RawTensor { dtype: self.dtype, bytes: &self.bytes[bytes(from).min(end)..end] }
    }

    /// The numbers as `f32`; exact for every format that is not quantised.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        let mut numbers = Vec::new();
        decode(self.dtype, self.bytes, &mut numbers);
        numbers
    }
}

/// One stored tensor's description.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// Shape in the file.
    pub shape: Vec<usize>,
    /// Format in the file; may be one that [`Weights::raw`] refuses.
    pub stored: safetensors::Dtype,
    file: usize,
    range: Range<usize>,
}

impl TensorInfo {
    /// Bytes in the file.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.range.len()
    }
}

/// A model's tensors, from one file or several shards.
#[derive(Debug)]
pub struct Weights {
    files: Vec<Storage>,
    tensors: BTreeMap<String, TensorInfo>,
}

#[derive(Debug)]
enum Storage {
    Mapped(Mmap),
    Static(&'static [u8]),
}

impl Storage {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Static(bytes) => bytes,
        }
    }
}

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

impl Weights {
    /// Opens the weights of a model directory: `model.safetensors`, or else the shards that `model.safetensors.index.json` names.
    ///
    /// # Errors
    /// When a file is missing, truncated or corrupt, or a shard's name leaves the directory.
    pub fn open(dir: &Path) -> Result<Self, ModelError> {
        let single = dir.join(SINGLE_FILE);
        if single.exists() {
            return Self::open_file(&single);
        }
        let index = dir.join(INDEX_FILE);
        if !index.exists() {
            return Err(missing_file(dir, SINGLE_FILE));
        }
        let text = std::fs::read(&index).map_err(|source| ModelError::Io { path: index.clone(), source })?;
        let index_name = index.display().to_string();
        let Index { weight_map } =
            serde_json::from_slice(&text).map_err(|e| ModelError::Json { file: index_name.clone(), problem: e.to_string() })?;

        let mut shards: Vec<&String> = weight_map.values().collect();
        shards.sort_unstable();
        shards.dedup();
        if let Some(shard) = shards.iter().find(|shard| !is_plain_name(shard)) {
            return Err(ModelError::ShardPath { index: index_name, shard: (*shard).clone() });
        }
        let mut weights = Self::empty();
        for shard in shards {
            let path = dir.join(shard);
            if !path.exists() {
                return Err(missing_file(dir, shard));
            }
            weights.add(&path.display().to_string(), Storage::Mapped(map(&path)?))?;
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
    pub fn open_file(path: &Path) -> Result<Self, ModelError> {
        let mut weights = Self::empty();
        weights.add(&path.display().to_string(), Storage::Mapped(map(path)?))?;
        Ok(weights)
    }

    /// Reads a safetensors file that is built into the program.
    ///
    /// # Errors
    /// When it is truncated or corrupt.
    pub fn from_static(name: &str, bytes: &'static [u8]) -> Result<Self, ModelError> {
        let mut weights = Self::empty();
        weights.add(name, Storage::Static(bytes))?;
        Ok(weights)
    }

    /// Whether a tensor of this name exists.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// All tensors with their descriptions, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.tensors.iter().map(|(name, info)| (name.as_str(), info))
    }

    /// The stored numbers of a tensor, which must have this shape.
    ///
    /// # Errors
    /// When the tensor is missing, has another shape, or is stored in a format other than F32, F16 and BF16.
    pub fn raw(&self, name: &str, shape: &[usize]) -> Result<RawTensor<'_>, ModelError> {
        let info = self.tensors.get(name).ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })?;
        if info.shape != shape {
            return Err(ModelError::WrongShape { name: name.to_owned(), found: info.shape.clone(), expected: shape.to_vec() });
        }
        let dtype = match info.stored {
            safetensors::Dtype::F32 => Dtype::F32,
            safetensors::Dtype::F16 => Dtype::F16,
            safetensors::Dtype::BF16 => Dtype::Bf16,
            other => return Err(ModelError::UnsupportedDtype { name: name.to_owned(), dtype: format!("{other:?}") }),
        };
        Ok(RawTensor { dtype, bytes: self.bytes(info) })
    }

    /// The numbers of a tensor as `f32`.
    ///
    /// # Errors
    /// As [`Weights::raw`].
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        Ok(self.raw(name, shape)?.to_f32())
    }

    /// The stored bytes of a tensor of this source.
    #[must_use]
    pub fn bytes(&self, info: &TensorInfo) -> &[u8] {
        self.files.get(info.file).and_then(|file| file.bytes().get(info.range.clone())).unwrap_or_default()
    }

    /// Tells the system that single pages will be read here and there, or (`false`) again in long runs, so that it does not read ahead in vain.
    pub(crate) fn expect_scattered_reads(&self, scattered: bool) {
        #[cfg(unix)]
        for file in &self.files {
            if let Storage::Mapped(map) = file {
                let advice = if scattered { memmap2::Advice::Random } else { memmap2::Advice::Normal };
                // Only a hint: reading works without it.
                let _ = map.advise(advice);
            }
        }
        #[cfg(not(unix))]
        let _ = scattered;
    }

    fn empty() -> Self {
        Self { files: Vec::new(), tensors: BTreeMap::new() }
    }

    fn add(&mut self, name: &str, storage: Storage) -> Result<(), ModelError> {
        let (start, metadata) = header(name, storage.bytes())?;
        for (tensor, info) in metadata.tensors() {
            let range = start + info.data_offsets.0..start + info.data_offsets.1;
            let info = TensorInfo { shape: info.shape.clone(), stored: info.dtype, file: self.files.len(), range };
            if self.tensors.insert(tensor.clone(), info).is_some() {
                return Err(ModelError::Corrupt { file: name.to_owned(), problem: format!("tensor {tensor} is also in another shard") });
            }
        }
        self.files.push(storage);
        Ok(())
    }
}

/// Where the data begins, and what it holds; every range is checked to lie inside `bytes`.
fn header(file: &str, bytes: &[u8]) -> Result<(usize, Metadata), ModelError> {
    let found = bytes.len() as u64;
    let truncated = |expected: u64| ModelError::Truncated { file: file.to_owned(), expected, found };
    let corrupt = |problem: String| ModelError::Corrupt { file: file.to_owned(), problem };

    let length = u64::from_le_bytes(*bytes.first_chunk().ok_or_else(|| truncated(8))?);
    if length > MAX_HEADER {
        return Err(corrupt(format!("its header would be {length} bytes long")));
    }
    let start = 8 + length as usize;
    let text = bytes.get(8..start).ok_or_else(|| truncated(8 + length))?;
    let metadata: Metadata = serde_json::from_slice(text).map_err(|e| corrupt(e.to_string()))?;
    match (start as u64).checked_add(metadata.data_len() as u64) {
        Some(expected) if expected == found => Ok((start, metadata)),
        Some(expected) if expected > found => Err(truncated(expected)),
        _ => Err(corrupt("it goes on after its last tensor".to_owned())),
    }
}

/// Read-only mapping of a whole file.
#[allow(unsafe_code)]
fn map(path: &Path) -> Result<Mmap, ModelError> {
    let io = |source| ModelError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    if file.metadata().map_err(io)?.len() == 0 {
        // The system refuses to map nothing with an error that says little.
        return Err(ModelError::Truncated { file: path.display().to_string(), expected: 8, found: 0 });
    }
    // SAFETY: the mapping is read-only and private to this process's view of the file. What memmap2 asks for beyond that, that nobody
    // changes the file meanwhile, no program can enforce; as with every loader of mapped weights, model files must not be edited in place
    // while they are in use. Numbers of any bit pattern are valid, so a violation cannot make an invalid value.
    unsafe { Mmap::map(&file) }.map_err(io)
}

fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    // A backslash separates folders on Windows only; refusing it everywhere keeps a directory portable.
    !name.contains('\\') && matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
}

fn missing_file(dir: &Path, file: &str) -> ModelError {
    ModelError::MissingFile { file: file.to_owned(), place: dir.display().to_string(), mend: MEND_WEIGHTS }
}
