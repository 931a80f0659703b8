//! Configuration in a GGUF file: its metadata as `config.json` and `generation_config.json`.

use serde_json::{Value, json};

use super::{
    metadata::Metadata,
    names::{Architecture, ROPE_DIVISORS, head_dim},
    tokenizer,
};
use crate::{
    error::{ModelError, one_line},
    weights::Weights,
};

const MEND: &str = "use a model of the plain Llama, Mistral, Qwen2 or Qwen3 family";

/// Properties that would change the numbers in a way that the engine does not know.
const UNKNOWN_ARITHMETIC: [&str; 6] = [
    "attention.scale",
    "attention.temperature_scale",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "logit_scale",
    "residual_scale",
];

pub(super) fn config(
    metadata: &Metadata,
    architecture: Architecture,
    weights: &Weights,
) -> Result<Value, ModelError> {
    let key = |property: &str| architecture.key(property);
    let size = |property: &str| metadata.required(&key(property), metadata.count(&key(property))?);
    refuse_unknown(metadata, architecture)?;

    let head_dim = head_dim(architecture, metadata)?;
    if let Some(rotated) =
        metadata.count(&key("rope.dimension_count"))?.filter(|&rotated| rotated != head_dim)
    {
        return Err(unsupported(format!("rotary positions on {rotated} of {head_dim} dimensions")));
    }
    let sizes =
        |property: &str| metadata.required(&key(property), metadata.counts(&key(property))?);
    let heads = sizes("attention.head_count")?;
    let kv_heads = metadata.counts(&key("attention.head_count_kv"))?;
    let embedding = weights.iter().find(|(name, _)| *name == "model.embed_tokens.weight");
    let vocab = embedding
        .map(|(_, info)| info.shape[0])
        .ok_or_else(|| ModelError::MissingTensor { name: "token_embd.weight".to_owned() })?;
    let window = metadata.count(&key("attention.sliding_window"))?.filter(|&window| window > 0);
    let (name, all_biases, mlp_bias) = family(architecture, weights, window.is_some())?;
    let eps = key("attention.layer_norm_rms_epsilon");

    let mut config = json!({
        "architectures": [name],
        "hidden_size": size("embedding_length")?,
        "intermediate_size": sizes("feed_forward_length")?,
        "num_hidden_layers": size("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "vocab_size": vocab,
        "max_position_embeddings": size("context_length")?,
        "rms_norm_eps": metadata.required(&eps, metadata.number(&eps)?)?,
        "hidden_act": "silu",
        "tie_word_embeddings": !weights.has("lm_head.weight"),
        "attention_bias": all_biases,
        "mlp_bias": mlp_bias,
        "rope_parameters": rope(metadata, architecture, weights)?,
        "bos_token_id": tokenizer::special(metadata, "bos")?,
        "eos_token_id": tokenizer::special(metadata, "eos")?,
        "sliding_window": window,
    });
    if matches!(architecture, Architecture::Qwen2 | Architecture::Qwen3) && window.is_some() {
        config["use_sliding_window"] = true.into();
        config["max_window_layers"] = 0.into();
    }
    Ok(config)
}

/// All tokens that end a text or a turn.
pub(super) fn generation(metadata: &Metadata) -> Result<Value, ModelError> {
    Ok(json!({ "eos_token_id": tokenizer::ends(metadata)? }))
}

fn unsupported(what: String) -> ModelError {
    ModelError::Unsupported { what, mend: MEND }
}

fn refuse_unknown(metadata: &Metadata, architecture: Architecture) -> Result<(), ModelError> {
    if let Some(experts) =
        metadata.count(&architecture.key("expert_count"))?.filter(|&experts| experts > 0)
    {
        return Err(unsupported(format!("a mixture of {experts} experts")));
    }
    for property in UNKNOWN_ARITHMETIC {
        let key = architecture.key(property);
        if metadata.number(&key)?.is_some_and(|value| value != 0.0) {
            return Err(unsupported(key));
        }
    }
    Ok(())
}

/// transformers' name of a model with the biases that this file has, and whether `attention_bias`
/// and `mlp_bias` are set in it.
fn family(
    architecture: Architecture,
    weights: &Weights,
    window: bool,
) -> Result<(&'static str, bool, bool), ModelError> {
    let any = |part: &str| weights.names().any(|name| name.ends_with(part));
    let qkv = any("q_proj.bias") || any("k_proj.bias") || any("v_proj.bias");
    let output = any("o_proj.bias");
    let mlp = any("gate_proj.bias") || any("up_proj.bias") || any("down_proj.bias");
    match (architecture, qkv, output, mlp) {
        (Architecture::Llama | Architecture::Mistral3, false, false, false) if window => {
            Ok(("MistralForCausalLM", false, false))
        }
        (Architecture::Llama | Architecture::Mistral3, _, _, mlp) if qkv == output && !window => {
            Ok(("LlamaForCausalLM", qkv, mlp))
        }
        // Qwen2's layers are Llama's but for these three biases.
        (Architecture::Llama | Architecture::Mistral3, true, false, false) if !window => {
            Ok(("Qwen2ForCausalLM", false, false))
        }
        (Architecture::Qwen2, true, false, false) => Ok(("Qwen2ForCausalLM", false, false)),
        (Architecture::Qwen3, qkv, output, false) if qkv == output => {
            Ok(("Qwen3ForCausalLM", qkv, false))
        }
        _ => Err(unsupported(format!(
            "this choice of biases in a file of the architecture {}",
            architecture.name()
        ))),
    }
}

/// Rotary positions. A file has Llama 3's scaling as divisors, one for each pair of dimensions;
/// transformers' `longrope` says the same when its short and its long factors are equal.
fn rope(
    metadata: &Metadata,
    architecture: Architecture,
    weights: &Weights,
) -> Result<Value, ModelError> {
    let key = |property: &str| architecture.key(property);
    let theta = metadata.number(&key("rope.freq_base"))?.unwrap_or(10_000.0);
    let divisors = match weights.iter().find(|(name, _)| *name == ROPE_DIVISORS) {
        Some((name, info)) => Some(weights.f32(name, &info.shape)?),
        None => None,
    };
    // Files from before 2023-10 state the factor alone.
    let old = metadata.number(&key("rope.scale_linear"))?;
    let kind = match metadata.text(&key("rope.scaling.type"))? {
        Some(kind) => kind,
        None if old.is_some_and(|factor| factor != 1.0) => "linear",
        None => "none",
    };
    let factor_key = key("rope.scaling.factor");
    match (kind, divisors) {
        ("none", None) => Ok(json!({ "rope_type": "default", "rope_theta": theta })),
        ("linear", None) => {
            let factor = metadata.required(&factor_key, metadata.number(&factor_key)?.or(old))?;
            Ok(json!({ "rope_type": "linear", "rope_theta": theta, "factor": factor }))
        }
        ("none", Some(divisors)) => Ok(json!({
            "rope_type": "longrope", "rope_theta": theta, "factor": 1.0, "attention_factor": 1.0,
            "short_factor": divisors, "long_factor": divisors,
            "original_max_position_embeddings": metadata.count(&key("context_length"))?,
        })),
        (kind, _) => Err(ModelError::Unsupported {
            what: format!("{} {}", key("rope.scaling.type"), one_line(kind)),
            mend: "use a model with plain, linear or Llama 3 rotary positions",
        }),
    }
}
