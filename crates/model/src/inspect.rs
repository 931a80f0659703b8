//! Inspection: what a model is and what each side of it weighs, from its headers alone.

use crate::{
    config::{Family, LayerShape},
    drafter::{DrafterInfo, head_dim},
    error::ModelError,
    formats::names::layer_of,
    source::{ModelSource, TensorSize, resident},
};
use serde::Serialize;
use std::ops::Range;
use tricorn_core::{HiddenCodec, Split};
use tricorn_kernels::{KvFormat, KvLayout};

/// A model cut at a split.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// `Llama`, `Mistral`, `Qwen2` or `Qwen3`.
    pub family: String,
    /// The model's identity, 64 hexadecimal digits.
    pub fingerprint: String,
    /// `device` or `cloud` for one side's bundle.
    pub bundle: Option<String>,
    /// Where it is cut, `M:K`.
    pub split: String,
    /// Numbers in all tensors of this directory.
    pub parameters: usize,
    /// Decoder layers of the whole model.
    pub layers: usize,
    /// The layers' shapes, where they differ; else empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layer_shapes: Vec<LayerShape>,
    /// Width of a hidden row.
    pub hidden: usize,
    /// Size of the vocabulary.
    pub vocab: usize,
    /// Longest sequence, in tokens.
    pub context: usize,
    /// Stored formats of the tensors.
    pub dtypes: Vec<String>,
    /// Stored bytes of embedding and first layers.
    pub input_bytes: usize,
    /// Stored bytes of the cloud's layers.
    pub middle_bytes: usize,
    /// Stored bytes of last layers, norm and head (a tied head is the embedding and counts there).
    pub output_bytes: usize,
    /// What its matrices are quantised to at load.
    pub quant: Option<String>,
    /// Bytes of memory that the first layers take once they are loaded; embedding rows stay in the
    /// file.
    pub input_resident_bytes: usize,
    /// The same of the cloud's layers.
    pub middle_resident_bytes: usize,
    /// The same of last layers, norm and head.
    pub output_resident_bytes: usize,
    /// Bytes of KV cache a token takes on the device, the drafter's included.
    pub device_kv_bytes_per_token: usize,
    /// Bytes of KV cache a token takes in the cloud.
    pub cloud_kv_bytes_per_token: usize,
    /// Bytes of hidden states a token puts on the wire each way, by codec; of those whose bytes do
    /// not depend on the values.
    pub wire_bytes_per_token: Vec<(String, usize)>,
    /// The drafters beside the model.
    pub drafters: Vec<DrafterInfo>,
}

/// Looks at a model without reading its weights.
///
/// # Errors
/// When the split does not fit the model, or its drafter's description is broken.
pub fn inspect(source: &ModelSource, split: Split, kv: KvFormat) -> Result<Inspection, ModelError> {
    let config = source.config();
    let ranges = split.ranges(config.layers)?;
    let (mut input_bytes, mut middle_bytes, mut output_bytes) = (0, 0, 0);
    let mut dtypes = Vec::new();
    for TensorSize { name, bytes, format, .. } in source.tensors() {
        if !dtypes.contains(&format) {
            dtypes.push(format);
        }
        match layer_of(name) {
            Some(layer) if ranges.input.contains(&layer) => input_bytes += bytes,
            Some(layer) if ranges.middle.contains(&layer) => middle_bytes += bytes,
            None if name.starts_with("model.embed_tokens") => input_bytes += bytes,
            _ => output_bytes += bytes,
        }
    }
    let (mut input_resident_bytes, mut middle_resident_bytes, mut output_resident_bytes) =
        (0, 0, 0);
    for (layer, bytes) in resident(source) {
        match layer {
            Some(layer) if ranges.input.contains(&layer) => input_resident_bytes += bytes,
            Some(layer) if ranges.middle.contains(&layer) => middle_resident_bytes += bytes,
            _ => output_resident_bytes += bytes,
        }
    }
    let kv_bytes = |layers: Range<usize>| kv.bytes_per_token(config.block_layout(layers).layers());
    let drafter_dim = head_dim(config);
    let drafter = KvLayout { kv_heads: config.hidden / drafter_dim, head_dim: drafter_dim };
    let drafters = DrafterInfo::read_all(source)?;
    Ok(Inspection {
        family: match config.family {
            Family::Llama => "Llama",
            Family::Mistral => "Mistral",
            Family::Qwen2 => "Qwen2",
            Family::Qwen3 => "Qwen3",
        }
        .to_owned(),
        fingerprint: source.fingerprint()?.to_hex(),
        bundle: source.bundle().map(|bundle| bundle.part.to_string()),
        split: split.to_string(),
        parameters: source.parameters(),
        layers: config.layers,
        layer_shapes: match config.even_shape() {
            Some(_) => Vec::new(),
            None => config.shapes().to_vec(),
        },
        hidden: config.hidden,
        vocab: config.vocab,
        context: config.context,
        dtypes,
        input_bytes,
        middle_bytes,
        output_bytes,
        quant: source.quant().map(|quant| quant.to_string()),
        input_resident_bytes,
        middle_resident_bytes,
        output_resident_bytes,
        device_kv_bytes_per_token: kv_bytes(ranges.input)
            + kv_bytes(ranges.output)
            + drafters.first().map_or(0, |_| kv.bytes_per_token([drafter])),
        cloud_kv_bytes_per_token: kv_bytes(ranges.middle),
        wire_bytes_per_token: [HiddenCodec::F16, HiddenCodec::F32]
            .map(|codec| (codec.name().to_owned(), config.hidden * codec.bytes_per_value()))
            .to_vec(),
        drafters,
    })
}
