//! Export of dense Hugging Face directories: `config.json`, safetensors in one file or in shards,
//! `generation_config.json` and the tokenizer's files. Hugging Face transformers loads the result
//! where all layers have one shape; others only this program does.

use serde_json::{Map, Value, json};
use std::{
    borrow::Cow,
    fs::{self, File},
    io::{self, Write},
    path::Path,
};
use tricorn_kernels::Dtype;

use crate::{
    config::{CONFIG, GENERATION, ModelConfig},
    error::ModelError,
    formats::hf::{INDEX_FILE, SINGLE_FILE},
    layers::tensors,
    source::ModelSource,
    weights::Stored,
};

/// Bytes of a shard, unless more are asked for: as Hugging Face's own tools cut models.
const SHARD_BYTES: usize = 5_000_000_000;

/// Files of a tokenizer, as far as a model has them.
const TOKENIZER: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "tokenizer.model",
    "vocab.json",
];

/// A tensor of the model that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenseTensor {
    /// Its name in Hugging Face transformers.
    pub name: String,
    /// Its shape, outputs first.
    pub shape: Vec<usize>,
    /// Its format: `F32`, `F16` or `Bf16`.
    pub dtype: Dtype,
}

/// A directory to write.
#[derive(Clone, Copy, Debug)]
pub struct DenseDirectory<'a> {
    config: &'a ModelConfig,
    files: Option<&'a ModelSource>,
    shard_bytes: usize,
}

impl<'a> DenseDirectory<'a> {
    /// A directory for a model of this architecture, which decides what tensors it has.
    #[must_use]
    pub fn new(config: &'a ModelConfig) -> Self {
        Self { config, files: None, shard_bytes: SHARD_BYTES }
    }

    /// Copies the tokenizer's files and `generation_config.json` from another model.
    #[must_use]
    pub fn with_files_of(self, source: &'a ModelSource) -> Self {
        Self { files: Some(source), ..self }
    }

    /// Cuts the weights into shards of at most so many bytes; a larger tensor has its own.
    #[must_use]
    pub fn with_shards_of(self, bytes: usize) -> Self {
        Self { shard_bytes: bytes, ..self }
    }

    /// Writes the directory and returns the bytes of weights in it. `dtype` chooses the format of a
    /// tensor by its name. `read` gives its numbers, row-major and little-endian; it is called once
    /// for each tensor, and one tensor at a time is in memory. `config.json` comes last, so that a
    /// directory that was not written to its end is no model.
    ///
    /// # Errors
    /// When there is a model already, a file cannot be written, a format is not dense, `read` fails
    /// or gives another number of bytes.
    pub fn write<'b>(
        &self,
        dir: &Path,
        dtype: impl Fn(&str) -> Dtype,
        mut read: impl FnMut(&DenseTensor) -> Result<Cow<'b, [u8]>, ModelError>,
    ) -> Result<usize, ModelError> {
        fs::create_dir_all(dir).map_err(cannot(dir))?;
        for name in [SINGLE_FILE, INDEX_FILE, CONFIG] {
            let path = dir.join(name);
            if path.exists() {
                let problem = io::Error::new(io::ErrorKind::AlreadyExists, "a model is there");
                return Err(cannot(&path)(problem));
            }
        }
        let tensors = self.tensors(dtype)?;
        let formats: Vec<Dtype> = tensors.iter().map(|(tensor, _)| tensor.dtype).collect();
        let bytes = tensors.iter().map(|(_, bytes)| bytes).sum();
        let shards = self.shards(tensors);
        let mut index = Map::new();
        for (number, shard) in shards.iter().enumerate() {
            let name = match shards.len() {
                1 => SINGLE_FILE.to_owned(),
                count => format!("model-{:05}-of-{count:05}.safetensors", number + 1),
            };
            write_shard(&dir.join(&name), shard, &mut read)?;
            index.extend(shard.iter().map(|(tensor, _)| (tensor.name.clone(), json!(name))));
        }
        if shards.len() > 1 {
            let index = json!({ "metadata": { "total_size": bytes }, "weight_map": index });
            write_json(&dir.join(INDEX_FILE), &index)?;
        }
        self.write_files(dir)?;
        let common = formats.first().filter(|first| formats.iter().all(|dtype| dtype == *first));
        let mut config = self.config.to_json();
        config["torch_dtype"] = json!(common.and_then(|dtype| torch_name(*dtype)));
        write_json(&dir.join(CONFIG), &config)?;
        Ok(bytes)
    }

    /// All tensors in the order of computation, with their bytes.
    fn tensors(
        &self,
        dtype: impl Fn(&str) -> Dtype,
    ) -> Result<Vec<(DenseTensor, usize)>, ModelError> {
        let tensor = |(name, shape): (String, Vec<usize>)| {
            let dtype = dtype(&name);
            match dtype.bytes(shape.iter().product()).filter(|_| torch_name(dtype).is_some()) {
                Some(bytes) => Ok((DenseTensor { name, shape, dtype }, bytes)),
                None => {
                    let problem = format!("{dtype} is no dense format; write F32, F16 or BF16");
                    Err(ModelError::WrongTensor { name, problem })
                }
            }
        };
        tensors::all(self.config).into_iter().map(tensor).collect()
    }

    fn shards(&self, tensors: Vec<(DenseTensor, usize)>) -> Vec<Vec<(DenseTensor, usize)>> {
        let mut shards: Vec<Vec<(DenseTensor, usize)>> = Vec::new();
        let mut room = 0;
        for tensor in tensors {
            match shards.last_mut().filter(|_| tensor.1 <= room) {
                Some(shard) => {
                    room -= tensor.1;
                    shard.push(tensor);
                }
                None => {
                    room = self.shard_bytes.saturating_sub(tensor.1);
                    shards.push(vec![tensor]);
                }
            }
        }
        // Wide formats first: readers want every tensor aligned to its numbers.
        for shard in &mut shards {
            shard.sort_by_key(|(tensor, _)| tensor.dtype != Dtype::F32);
        }
        shards
    }

    fn write_files(&self, dir: &Path) -> Result<(), ModelError> {
        let mut generation = None;
        if let Some(source) = self.files {
            for name in TOKENIZER {
                if let Some(content) = source.file(name)? {
                    let path = dir.join(name);
                    fs::write(&path, content).map_err(cannot(&path))?;
                }
            }
            generation = source.file(GENERATION)?;
        }
        let path = dir.join(GENERATION);
        match generation {
            Some(content) => fs::write(&path, content).map_err(cannot(&path)),
            None => write_json(&path, &self.config.generation_json()),
        }
    }
}

/// The name of a dense format in PyTorch.
fn torch_name(dtype: Dtype) -> Option<&'static str> {
    match dtype {
        Dtype::F32 => Some("float32"),
        Dtype::F16 => Some("float16"),
        Dtype::Bf16 => Some("bfloat16"),
        _ => None,
    }
}

fn write_shard<'b>(
    path: &Path,
    shard: &[(DenseTensor, usize)],
    read: &mut impl FnMut(&DenseTensor) -> Result<Cow<'b, [u8]>, ModelError>,
) -> Result<(), ModelError> {
    let mut file = File::create(path).map_err(cannot(path))?;
    file.write_all(&header(shard)).map_err(cannot(path))?;
    for (tensor, expected) in shard {
        let bytes = read(tensor)?;
        if bytes.len() != *expected {
            let problem = format!("it has {} bytes and needs {expected}", bytes.len());
            return Err(ModelError::WrongTensor { name: tensor.name.clone(), problem });
        }
        file.write_all(&bytes).map_err(cannot(path))?;
    }
    Ok(())
}

/// The header of a safetensors file: its length, then JSON filled up to a multiple of eight.
fn header(shard: &[(DenseTensor, usize)]) -> Vec<u8> {
    let mut entries = Map::from_iter([("__metadata__".to_owned(), json!({ "format": "pt" }))]);
    let mut start = 0;
    for (DenseTensor { name, shape, dtype }, bytes) in shard {
        let format = Stored::Known(*dtype).safetensors().map(|format| json!(format));
        let end = start + bytes;
        let entry = json!({ "dtype": format, "shape": shape, "data_offsets": [start, end] });
        entries.insert(name.clone(), entry);
        start = end;
    }
    let mut text = Value::Object(entries).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes()[..], &text].concat()
}

fn write_json(path: &Path, value: &Value) -> Result<(), ModelError> {
    // Strings and finite numbers under string keys: nothing that JSON has no form for.
    let text = serde_json::to_string_pretty(value).unwrap_or_default() + "\n";
    fs::write(path, text).map_err(cannot(path))
}

fn cannot(path: &Path) -> impl FnOnce(io::Error) -> ModelError {
    let path = path.to_owned();
    move |source| ModelError::Write { path, source }
}
