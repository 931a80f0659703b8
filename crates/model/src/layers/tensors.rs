//! Tensors of a decoder layer and of the head: their names, shapes and order.

use crate::{
    config::ModelConfig, error::ModelError, formats::names::head_name, source::ModelSource,
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
        let hidden = config.hidden;
        let (q, kv) = (config.query_width(), config.kv_width());
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
                weights.f32(&name(&format!("self_attn.{which}_norm.weight")), &[config.head_dim])
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
        let (hidden, intermediate) = (config.hidden, config.intermediate);
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
