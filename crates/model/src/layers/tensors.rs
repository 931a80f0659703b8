//! Tensors of a decoder layer and of the head: their names, shapes and order.

use crate::{
    config::ModelConfig,
    error::ModelError,
    formats::names::{EMBEDDING, NORM, head_name},
    source::ModelSource,
};

/// Matrices with the same inputs that are multiplied as one, their outputs side by side.
#[derive(Debug)]
pub(crate) struct Stack {
    /// Tensor name and number of outputs of each.
    pub(crate) parts: Vec<(String, usize)>,
    pub(crate) inputs: usize,
    /// Of all outputs.
    pub(crate) bias: Option<Vec<f32>>,
}

/// The self-attention half of a decoder layer.
#[derive(Debug)]
pub(crate) struct AttentionTensors {
    pub(crate) norm: Vec<f32>,
    /// Queries, keys and values.
    pub(crate) qkv: Stack,
    /// Norms of each head's queries and keys, in the families that have them.
    pub(crate) qk_norm: Option<(Vec<f32>, Vec<f32>)>,
    pub(crate) output: Stack,
}

/// The feed-forward half.
#[derive(Debug)]
pub(crate) struct MlpTensors {
    pub(crate) norm: Vec<f32>,
    /// Gate, then up.
    pub(crate) gate_up: Stack,
    pub(crate) down: Stack,
}

impl AttentionTensors {
    /// # Errors
    /// When a norm or a bias is missing or has another shape; matrices are only named.
    pub(crate) fn read(source: &ModelSource, layer: usize) -> Result<Self, ModelError> {
        let (config, weights) = (source.config(), source.weights());
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let (hidden, shape) = (config.hidden, config.layer(layer));
        let (q, kv) = (shape.query_width(), shape.kv_width());
        let outputs = [("q", q), ("k", kv), ("v", kv)];
        let bias = if config.qkv_bias {
            let biases = outputs
                .iter()
                .map(|(p, out)| weights.f32(&name(&format!("self_attn.{p}_proj.bias")), &[*out]));
            Some(biases.collect::<Result<Vec<_>, _>>()?.concat())
        } else {
            None
        };
        let output_bias = if config.o_bias {
            Some(weights.f32(&name("self_attn.o_proj.bias"), &[hidden])?)
        } else {
            None
        };
        let qk_norm = if config.qk_norm {
            let norm = |which: &str| {
                weights.f32(&name(&format!("self_attn.{which}_norm.weight")), &[shape.head_dim])
            };
            Some((norm("q")?, norm("k")?))
        } else {
            None
        };
        let parts =
            outputs.map(|(p, out)| (name(&format!("self_attn.{p}_proj.weight")), out)).to_vec();
        Ok(Self {
            norm: weights.f32(&name("input_layernorm.weight"), &[hidden])?,
            qkv: Stack { parts, inputs: hidden, bias },
            qk_norm,
            output: Stack {
                parts: vec![(name("self_attn.o_proj.weight"), hidden)],
                inputs: q,
                bias: output_bias,
            },
        })
    }
}

impl MlpTensors {
    /// # Errors
    /// When a norm or a bias is missing or has another shape; matrices are only named.
    pub(crate) fn read(source: &ModelSource, layer: usize) -> Result<Self, ModelError> {
        let (config, weights) = (source.config(), source.weights());
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let (hidden, intermediate) = (config.hidden, config.layer(layer).intermediate);
        let bias =
            |which: &str, out: usize| weights.f32(&name(&format!("mlp.{which}_proj.bias")), &[out]);
        let (gate_up_bias, down_bias) = if config.mlp_bias {
            (
                Some([bias("gate", intermediate)?, bias("up", intermediate)?].concat()),
                Some(bias("down", hidden)?),
            )
        } else {
            (None, None)
        };
        let parts = ["gate", "up"]
            .map(|which| (name(&format!("mlp.{which}_proj.weight")), intermediate))
            .to_vec();
        Ok(Self {
            norm: weights.f32(&name("post_attention_layernorm.weight"), &[hidden])?,
            gate_up: Stack { parts, inputs: hidden, bias: gate_up_bias },
            down: Stack {
                parts: vec![(name("mlp.down_proj.weight"), hidden)],
                inputs: intermediate,
                bias: down_bias,
            },
        })
    }
}

/// The head as a dense layer.
pub(crate) fn head_stack(config: &ModelConfig) -> Stack {
    Stack {
        parts: vec![(head_name(config.tied).to_owned(), config.vocab)],
        inputs: config.hidden,
        bias: None,
    }
}

/// Names and shapes of all tensors of a model, in the order of computation.
pub(crate) fn all(config: &ModelConfig) -> Vec<(String, Vec<usize>)> {
    let mut tensors = vec![(EMBEDDING.to_owned(), vec![config.vocab, config.hidden])];
    for layer in 0..config.layers {
        let named =
            |(part, shape): (&str, Vec<usize>)| (format!("model.layers.{layer}.{part}"), shape);
        tensors.extend(attention_tensors(config, layer).into_iter().map(named));
        tensors.extend(mlp_tensors(config, layer).into_iter().map(named));
    }
    tensors.push((NORM.to_owned(), vec![config.hidden]));
    if !config.tied {
        tensors.push((head_name(false).to_owned(), vec![config.vocab, config.hidden]));
    }
    tensors
}

fn attention_tensors(config: &ModelConfig, layer: usize) -> Vec<(&'static str, Vec<usize>)> {
    let (hidden, shape) = (config.hidden, config.layer(layer));
    let (q, kv) = (shape.query_width(), shape.kv_width());
    let mut tensors = Vec::new();
    if !shape.has_attention() {
        return tensors;
    }
    tensors.extend([
        ("input_layernorm.weight", vec![hidden]),
        ("self_attn.q_proj.weight", vec![q, hidden]),
        ("self_attn.k_proj.weight", vec![kv, hidden]),
        ("self_attn.v_proj.weight", vec![kv, hidden]),
        ("self_attn.o_proj.weight", vec![hidden, q]),
    ]);
    if config.qkv_bias {
        tensors.extend([
            ("self_attn.q_proj.bias", vec![q]),
            ("self_attn.k_proj.bias", vec![kv]),
            ("self_attn.v_proj.bias", vec![kv]),
        ]);
    }
    if config.o_bias {
        tensors.push(("self_attn.o_proj.bias", vec![hidden]));
    }
    if config.qk_norm {
        tensors.extend([
            ("self_attn.q_norm.weight", vec![shape.head_dim]),
            ("self_attn.k_norm.weight", vec![shape.head_dim]),
        ]);
    }
    tensors
}

fn mlp_tensors(config: &ModelConfig, layer: usize) -> Vec<(&'static str, Vec<usize>)> {
    let (hidden, shape) = (config.hidden, config.layer(layer));
    let inner = shape.intermediate;
    let mut tensors = Vec::new();
    if !shape.has_mlp() {
        return tensors;
    }
    tensors.extend([
        ("post_attention_layernorm.weight", vec![hidden]),
        ("mlp.gate_proj.weight", vec![inner, hidden]),
        ("mlp.up_proj.weight", vec![inner, hidden]),
        ("mlp.down_proj.weight", vec![hidden, inner]),
    ]);
    if config.mlp_bias {
        tensors.extend([
            ("mlp.gate_proj.bias", vec![inner]),
            ("mlp.up_proj.bias", vec![inner]),
            ("mlp.down_proj.bias", vec![hidden]),
        ]);
    }
    tensors
}
