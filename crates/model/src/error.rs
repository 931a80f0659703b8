//! Errors of a model: its files, its use and its caches.

mod kv;

use std::{io, path::PathBuf};

use tricorn_core::{Split, SplitError};
use tricorn_kernels::Dtype;
use tricorn_text::TextError;
pub(crate) use tricorn_text::one_line;

use crate::{bundle_part::BundlePart, compute_device::ComputeDevice, drafter_kind::DrafterKind};
pub use kv::KvError;

/// Reason why a model cannot be loaded or used. Each message is one line, and ends with how to fix
/// it where that is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The operating system refused a file.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system refused to write a file.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The path leads to a file that is no model.
    #[error(
        "{} is no model; give the folder that holds config.json and model.safetensors, or a .gguf \
         file",
        .0.display()
    )]
    NotAModel(PathBuf),
    /// A file that the model needs is not there.
    #[error("{place} has no {file}; {mend}")]
    MissingFile {
        /// The file's name.
        file: String,
        /// The directory, or `the bundled model`.
        place: String,
        /// What to do.
        mend: &'static str,
    },
    /// A JSON file cannot be parsed.
    #[error("{file} is not what it should be: {problem}; download the model again")]
    Json {
        /// The file's name.
        file: String,
        /// What the parser said.
        problem: String,
    },
    /// A value in `config.json`, `generation_config.json` or the metadata of a GGUF file makes no
    /// sense.
    #[error("{file}: {field} {problem}; download the model again, or take one that is supported")]
    Config {
        /// The file's name, or `GGUF metadata`.
        file: &'static str,
        /// The field's name.
        field: String,
        /// What is wrong with it, with the value found.
        problem: String,
    },
    /// Layers that a model was to be given do not fit it or each other.
    #[error("{field} {problem}")]
    LayerShape {
        /// The size, as `config.json` calls it.
        field: String,
        /// What is wrong with it, with the value found.
        problem: String,
    },
    /// A tensor that was to be written is not the one that the configuration calls for.
    #[error("tensor {name} cannot be written: {problem}")]
    WrongTensor {
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A model that is well formed but that this program cannot run.
    #[error("{what} is not supported; {mend}")]
    Unsupported {
        /// The model's property.
        what: String,
        /// What to use instead.
        mend: &'static str,
    },
    /// A file of weights is shorter than its header says, or has shrunk since it was opened.
    #[error(
        "{file} is truncated: it has {found} bytes and its header announces {expected}; download \
         it again"
    )]
    Truncated {
        /// The file.
        file: String,
        /// Bytes it should have.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// A header of weights is not one.
    #[error("{file} is not a valid file of weights: {problem}; download it again")]
    Corrupt {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A GGUF header is not one.
    #[error("{file} is not a valid GGUF file: {problem}; download it again")]
    Gguf {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// The index names a shard outside the model's directory.
    #[error(
        "{index} names the shard `{shard}`, which is not a plain file name; get the model from a \
         source you trust"
    )]
    ShardPath {
        /// The index file.
        index: String,
        /// The refused name.
        shard: String,
    },
    /// The weights lack a tensor that the architecture calls for.
    #[error(
        "tensor {name} is missing; the weights do not belong to this configuration, or this is a \
         bundle for another split"
    )]
    MissingTensor {
        /// The tensor's name.
        name: String,
    },
    /// A tensor does not have the shape that the architecture calls for.
    #[error(
        "tensor {name} has shape {found:?} but the configuration calls for {expected:?}; the \
         weights belong to another model"
    )]
    WrongShape {
        /// The tensor's name.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// The shape that was asked for.
        expected: Vec<usize>,
    },
    /// A tensor is stored in a number format that is no [`Dtype`].
    #[error(
        "tensor {name} is stored as {dtype}; use a model in F32, F16 or BF16, or a GGUF file in \
         Q8_0, Q6_K, Q5_K, Q4_K or Q4_0"
    )]
    UnsupportedDtype {
        /// The tensor's name.
        name: String,
        /// The format in the file.
        dtype: String,
    },
    /// A tensor holds a number that its format in memory cannot stand for.
    #[error(
        "tensor {name} holds {value}, which {dtype} has no code for; use --quant f32, or download \
         the model again if it is damaged"
    )]
    Unquantisable {
        /// The tensor's name.
        name: String,
        /// The number.
        value: f32,
        /// The format asked for.
        dtype: Dtype,
    },
    /// The model is quantised in its files and would be quantised again.
    #[error(
        "the model's weights are in {dtype} already; leave --quant out, or start from the \
         unquantised model"
    )]
    AlreadyQuantised {
        /// A format in the files.
        dtype: Dtype,
    },
    /// `tricorn.json` of a bundle cannot be used.
    #[error("tricorn.json: {problem}; make the bundle again with `tricorn pack`")]
    Bundle {
        /// What is wrong.
        problem: String,
    },
    /// Only a whole model as it was trained or quantised can be packed.
    #[error("{what} cannot be packed again; start from the whole model")]
    NotWhole {
        /// What was to be packed.
        what: String,
    },
    /// A bundle holds another part of the model than the one asked for.
    #[error(
        "this is a {part} bundle for split {split}; use the {wanted} bundle made with `tricorn \
         pack --split {wanted_split}`"
    )]
    WrongBundle {
        /// The part it holds.
        part: BundlePart,
        /// The split it was made for.
        split: Split,
        /// The part asked for.
        wanted: BundlePart,
        /// The split asked for.
        wanted_split: Split,
    },
    /// The split does not fit the model.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The tokenizer or the chat template cannot be read or used.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A token id is not in the vocabulary.
    #[error(
        "token {token} is not in the model's vocabulary of {vocab}; the tokenizer belongs to \
         another model"
    )]
    Token {
        /// The id.
        token: u32,
        /// The model's vocabulary size.
        vocab: usize,
    },
    /// The drafter beside the model cannot be read.
    #[error(
        "the drafter cannot be used ({problem}); train one again with `tricorn distill`, or \
         delete its drafter-* files"
    )]
    BrokenDrafter {
        /// What is wrong.
        problem: String,
    },
    /// There is no drafter of the kind asked for.
    #[error(
        "there is no {kind} drafter beside the model; train one with `tricorn distill --kind \
         {kind}`, or leave --drafter out"
    )]
    NoDrafter {
        /// The kind.
        kind: DrafterKind,
    },
    /// The drafter beside the model was made for something else.
    #[error(
        "the drafter is for {found}, not for {expected}; train one with `tricorn distill`, or add \
         --no-draft"
    )]
    WrongDrafter {
        /// What it was made for.
        found: String,
        /// What it should be made for.
        expected: String,
    },
    /// The model's numbers are broken.
    #[error(
        "the model's {part} give values that are not numbers; its weights are damaged, download \
         it again"
    )]
    NotFinite {
        /// Which of its parts.
        part: &'static str,
    },
    /// The program was built without what the device asked for needs.
    #[error(
        "this program was built without {feature}; build it with `cargo build --release \
         --features {feature}`, or use --device cpu"
    )]
    WithoutDevice {
        /// The cargo feature.
        feature: &'static str,
    },
    /// The accelerator asked for cannot be opened.
    #[error(
        "{device} cannot be used: {problem}; see that its driver is installed, or use --device cpu"
    )]
    NoDevice {
        /// The accelerator.
        device: ComputeDevice,
        /// What its driver said.
        problem: String,
    },
    /// The accelerator failed, for the most part for lack of memory.
    #[error(
        "{device} failed: {problem}; if its memory is full, use a smaller model or --split, or \
         --device cpu"
    )]
    DeviceFailed {
        /// The accelerator.
        device: ComputeDevice,
        /// What its driver said.
        problem: String,
    },
    /// A sequence does not fit its KV cache.
    #[error(transparent)]
    Kv(#[from] KvError),
}
