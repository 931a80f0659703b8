//! Architecture of a GGUF file, and its tensors' names in Hugging Face transformers.

use super::metadata::Metadata;
use crate::{
    error::{ModelError, one_line},
    weights::{Interleaved, TensorInfo},
};

/// An architecture that this engine runs, by its name in GGUF files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    /// Llama, and Mistral up to 2024.
    Llama,
    /// Mistral from 2025 on.
    Mistral3,
    Qwen2,
    Qwen3,
}

/// The frequencies' divisors of Llama 3.1 and later; they become part of the configuration.
pub(super) const ROPE_DIVISORS: &str = "rope_freqs.weight";

impl Architecture {
    const ALL: [Self; 4] = [Self::Llama, Self::Mistral3, Self::Qwen2, Self::Qwen3];

    pub(super) fn of(metadata: &Metadata) -> Result<Self, ModelError> {
        let key = "general.architecture";
        let name = metadata.required(key, metadata.text(key)?)?;
        Self::ALL.into_iter().find(|architecture| architecture.name() == name).ok_or_else(|| {
            ModelError::Unsupported {
                what: format!("the GGUF architecture {}", one_line(name)),
                mend: "use a model of the Llama, Mistral, Qwen2 or Qwen3 family",
            }
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral3 => "mistral3",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// The key of a property of this architecture.
    pub(super) fn key(self, property: &str) -> String {
        format!("{}.{property}", self.name())
    }

    /// Whether queries and keys are stored for ggml's interleaved rotation.
    fn interleaved(self) -> bool {
        matches!(self, Self::Llama | Self::Mistral3)
    }

    /// The name in transformers' models; `None` for a tensor that this architecture does not have.
    fn translate(self, name: &str) -> Option<String> {
        match name {
            "token_embd.weight" => return Some("model.embed_tokens.weight".to_owned()),
            "output_norm.weight" => return Some("model.norm.weight".to_owned()),
            "output.weight" => return Some("lm_head.weight".to_owned()),
            _ => {}
        }
        let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
        let (part, kind) = rest.split_once('.')?;
        let (part, may_have_bias) = match part {
            "attn_norm" => ("input_layernorm", false),
            "ffn_norm" => ("post_attention_layernorm", false),
            "attn_q" => ("self_attn.q_proj", true),
            "attn_k" => ("self_attn.k_proj", true),
            "attn_v" => ("self_attn.v_proj", true),
            "attn_output" => ("self_attn.o_proj", true),
            "attn_q_norm" if self == Self::Qwen3 => ("self_attn.q_norm", false),
            "attn_k_norm" if self == Self::Qwen3 => ("self_attn.k_norm", false),
            "ffn_gate" => ("mlp.gate_proj", true),
            "ffn_up" => ("mlp.up_proj", true),
            "ffn_down" => ("mlp.down_proj", true),
            _ => return None,
        };
        // A number in its one spelling, so that two tensors never get the same name.
        let layer: u32 = layer.parse().ok().filter(|number: &u32| number.to_string() == layer)?;
        matches!((kind, may_have_bias), ("weight", _) | ("bias", true))
            .then(|| format!("model.layers.{layer}.{part}.{kind}"))
    }
}

/// The tensors under transformers' names and with transformers' order of rows.
pub(super) fn translate(
    architecture: Architecture,
    metadata: &Metadata,
    tensors: Vec<(String, TensorInfo)>,
) -> Result<Vec<(String, TensorInfo)>, ModelError> {
    let mut translated = Vec::with_capacity(tensors.len());
    for (name, mut info) in tensors {
        if name == ROPE_DIVISORS {
            translated.push((name, info));
            continue;
        }
        let unsupported = || ModelError::Unsupported {
            what: format!("tensor {name} in a file of the architecture {}", architecture.name()),
            mend: "use a model of the plain Llama, Mistral, Qwen2 or Qwen3 family",
        };
        let hf = architecture.translate(&name).ok_or_else(unsupported)?;
        if architecture.interleaved() && (hf.contains(".q_proj.") || hf.contains(".k_proj.")) {
            info.rotary = Some(rotary(architecture, metadata, &name, &info)?);
        }
        translated.push((hf, info));
    }
    Ok(translated)
}

fn rotary(
    architecture: Architecture,
    metadata: &Metadata,
    name: &str,
    info: &TensorInfo,
) -> Result<Interleaved, ModelError> {
    let head_dim = head_dim(architecture, metadata)?;
    let rows = info.shape.first().copied().unwrap_or_default();
    match usize::try_from(head_dim) {
        Ok(head_dim) if head_dim.is_multiple_of(2) && rows.is_multiple_of(head_dim) => {
            Ok(Interleaved { head_dim })
        }
        _ => Err(metadata.bad(format!(
            "tensor {name} has {rows} rows, which is not a number of heads of {head_dim}"
        ))),
    }
}

/// Width of a head, at least 1.
pub(super) fn head_dim(architecture: Architecture, metadata: &Metadata) -> Result<u64, ModelError> {
    let count = |property: &str| metadata.count(&architecture.key(property));
    let stated = match (count("attention.key_length")?, count("attention.value_length")?) {
        (Some(key), Some(value)) if key != value => {
            return Err(ModelError::Unsupported {
                what: format!("heads whose keys are {key} wide and whose values {value}"),
                mend: "use a model of the plain Llama, Mistral, Qwen2 or Qwen3 family",
            });
        }
        (key, value) => key.or(value),
    };
    let head_dim = match stated {
        Some(stated) => Some(stated),
        None => match (count("embedding_length")?, count("attention.head_count")?) {
            (Some(hidden), Some(heads)) if heads > 0 && hidden.is_multiple_of(heads) => {
                Some(hidden / heads)
            }
            _ => None,
        },
    };
    let bad = || {
        metadata.bad(format!(
            "{} does not divide embedding_length",
            architecture.key("attention.head_count")
        ))
    };
    head_dim.filter(|&head_dim| head_dim > 0).ok_or_else(bad)
}
