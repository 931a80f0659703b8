//! Small model files for tests, in folders that vanish.

pub(crate) mod gguf;
mod temp;
pub(crate) mod uneven;

use std::{fs, path::Path};

use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
pub(crate) use temp::TempDir;

/// A tensor to be written.
pub(crate) struct Stored {
    pub(crate) name: &'static str,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn f32s(name: &'static str, shape: &[usize], numbers: &[f32]) -> Stored {
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Stored { name, dtype: Dtype::F32, shape: shape.to_vec(), bytes }
}

pub(crate) fn write_tensors(path: &Path, tensors: &[Stored]) {
    let views = tensors
        .iter()
        .map(|t| (t.name, TensorView::new(t.dtype, t.shape.clone(), &t.bytes).unwrap()));
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

pub(crate) fn tiny_config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": 4, "intermediate_size": 8,
        "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 8,
        "max_position_embeddings": 16, "tie_word_embeddings": true
    })
}

/// A directory that opens: a configuration and two of its tensors.
pub(crate) fn model_dir() -> TempDir {
    let dir = TempDir::new();
    fs::write(dir.file("config.json"), tiny_config().to_string()).unwrap();
    let table: Vec<f32> = (0..32).map(|n| n as f32).collect();
    write_tensors(
        &dir.file("model.safetensors"),
        &[
            f32s("model.embed_tokens.weight", &[8, 4], &table),
            f32s("model.norm.weight", &[4], &[1.0; 4]),
        ],
    );
    dir
}
