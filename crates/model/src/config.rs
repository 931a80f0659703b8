//! A model's architecture, as `config.json` of Hugging Face transformers states it.

mod fields;
mod rope;

use crate::error::ModelError;
use fields::Fields;
pub use rope::{Rope, RopeScaling};

/// The name of the file that states a model's architecture.
pub(crate) const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";

// Generous against every published model, and small enough that a product of any three fits 64
// bits.
const MAX_WIDTH: usize = 1 << 20;
const MAX_LAYERS: usize = 1 << 12;
const MAX_HEADS: usize = 1 << 12;
const MAX_HEAD_DIM: usize = 1 << 12;
const MAX_VOCAB: usize = 1 << 24;
const MAX_CONTEXT: usize = 1 << 28;

/// The decoder families, all of the Llama shape: pre-norm RMSNorm, rotary positions, grouped
/// queries, SwiGLU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `LlamaForCausalLM`.
    Llama,
    /// `MistralForCausalLM`: Llama with a sliding window.
    Mistral,
    /// `Qwen2ForCausalLM`: biases on queries, keys and values.
    Qwen2,
    /// `Qwen3ForCausalLM`: RMSNorm over each head's queries and keys.
    Qwen3,
}

/// Attention limited to the nearest positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindow {
    /// Positions a token attends to, itself included.
    pub window: usize,
    /// Layers before this one attend to everything.
    pub first_layer: usize,
}

/// A validated architecture: sizes are non-zero and bounded so that their products cannot overflow,
/// and they fit each other.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Which family's layer layout.
    pub family: Family,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads a layer.
    pub heads: usize,
    /// Key and value heads a layer; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head; even, and not always `hidden / heads`.
    pub head_dim: usize,
    /// Width inside the feed-forward block.
    pub intermediate: usize,
    /// Rows of the embedding, so the number of logits.
    pub vocab: usize,
    /// Epsilon of every RMSNorm.
    pub norm_eps: f32,
    /// Rotary positions.
    pub rope: Rope,
    /// Whether the head is the embedding.
    pub tied: bool,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether attention's output projection has a bias.
    pub o_bias: bool,
    /// Whether the three feed-forward projections have biases.
    pub mlp_bias: bool,
    /// Whether queries and keys are normalised per head.
    pub qk_norm: bool,
    /// Positions the model was trained for.
    pub context: usize,
    /// Token that begins a text.
    pub bos: Option<u32>,
    /// Tokens that end a text; may be empty.
    pub eos: Vec<u32>,
    /// Present when some layers see only the nearest positions.
    pub sliding: Option<SlidingWindow>,
}

impl ModelConfig {
    /// Reads `config.json`, which errors call `origin`, and, for the tokens that end a text,
    /// `generation_config.json`.
    ///
    /// Absent fields take the defaults of transformers 5. Both spellings of the rotary parameters
    /// are read.
    ///
    /// # Errors
    /// When the JSON is broken, a size is absent, zero, absurd or does not fit the others, or the
    /// model is of a kind that is not supported.
    pub(crate) fn parse(
        origin: &'static str,
        config: &[u8],
        generation: Option<&[u8]>,
    ) -> Result<Self, ModelError> {
        let fields = &Fields::parse(origin, config)?;
        refuse_quantised(fields)?;
        let family = family(fields)?;
        activation(fields)?;

        let hidden = fields.size("hidden_size", MAX_WIDTH)?;
        let layers = fields.size("num_hidden_layers", MAX_LAYERS)?;
        let heads = fields.size("num_attention_heads", MAX_HEADS)?;
        let kv_heads = kv_heads(fields, family, heads)?;
        let head_dim = head_dim(fields, family, hidden, heads)?;
        let vocab = fields.size("vocab_size", MAX_VOCAB)?;
        let context = fields.size("max_position_embeddings", MAX_CONTEXT)?;
        let biased = matches!(family, Family::Llama | Family::Qwen3)
            && fields.flag("attention_bias")?.unwrap_or(false);

        let rope = Rope::parse(fields, context)?;
        rope.check(fields, head_dim)?;

        Ok(Self {
            family,
            hidden,
            layers,
            heads,
            kv_heads,
            head_dim,
            intermediate: fields.size("intermediate_size", MAX_WIDTH)?,
            vocab,
            norm_eps: norm_eps(fields)?,
            rope,
            tied: fields.flag("tie_word_embeddings")?.unwrap_or(false),
            qkv_bias: biased || family == Family::Qwen2,
            o_bias: biased,
            mlp_bias: family == Family::Llama && fields.flag("mlp_bias")?.unwrap_or(false),
            qk_norm: family == Family::Qwen3,
            context,
            bos: fields.token_ids("bos_token_id", vocab)?.first().copied(),
            eos: eos(fields, generation, vocab)?,
            sliding: sliding(fields, family, layers)?,
        })
    }

    /// Width of all query heads together.
    #[must_use]
    pub fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key heads together, and of all value heads.
    #[must_use]
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// The window of one layer; `None` when it attends to everything.
    #[must_use]
    pub fn window(&self, layer: usize) -> Option<usize> {
        self.sliding.filter(|sliding| layer >= sliding.first_layer).map(|sliding| sliding.window)
    }
}

fn refuse_quantised(fields: &Fields) -> Result<(), ModelError> {
    match fields.object("quantization_config")? {
        None => Ok(()),
        Some(quantisation) => {
            let method = quantisation.text("quant_method")?.unwrap_or("unknown");
            Err(ModelError::Unsupported {
                what: format!("{}: a model quantised with {method}", fields.file()),
                mend: "use the unquantised model (F32, F16 or BF16)",
            })
        }
    }
}

fn family(fields: &Fields) -> Result<Family, ModelError> {
    let name = match fields.first_text("architectures")? {
        Some(name) => name,
        None => {
            fields.text("model_type")?.ok_or_else(|| fields.bad("architectures", "is missing"))?
        }
    };
    match name {
        "LlamaForCausalLM" | "llama" => Ok(Family::Llama),
        "MistralForCausalLM" | "mistral" => Ok(Family::Mistral),
        "Qwen2ForCausalLM" | "qwen2" => Ok(Family::Qwen2),
        "Qwen3ForCausalLM" | "qwen3" => Ok(Family::Qwen3),
        other => Err(ModelError::Unsupported {
            what: format!("{}: the architecture {other}", fields.file()),
            mend: "use a model of the Llama, Mistral, Qwen2 or Qwen3 family",
        }),
    }
}

fn activation(fields: &Fields) -> Result<(), ModelError> {
    match fields.text("hidden_act")? {
        None | Some("silu" | "swish") => Ok(()),
        Some(other) => Err(ModelError::Unsupported {
            what: format!("{}: hidden_act {other}", fields.file()),
            mend: "use a model whose hidden_act is silu",
        }),
    }
}

fn kv_heads(fields: &Fields, family: Family, heads: usize) -> Result<usize, ModelError> {
    let absent = match family {
        Family::Llama => heads,
        Family::Mistral => 8,
        Family::Qwen2 | Family::Qwen3 => 32,
    };
    let kv_heads = match (
        fields.has("num_key_value_heads"),
        fields.optional_size("num_key_value_heads", MAX_HEADS)?,
    ) {
        (_, Some(kv_heads)) => kv_heads,
        (true, None) => heads,
        (false, None) => absent,
    };
    if !heads.is_multiple_of(kv_heads) {
        return Err(fields.bad(
            "num_key_value_heads",
            &format!("is {kv_heads}, which does not divide num_attention_heads {heads}"),
        ));
    }
    Ok(kv_heads)
}

fn head_dim(
    fields: &Fields,
    family: Family,
    hidden: usize,
    heads: usize,
) -> Result<usize, ModelError> {
    let head_dim = match fields.optional_size("head_dim", MAX_HEAD_DIM)? {
        Some(head_dim) => head_dim,
        None if family == Family::Qwen3 && !fields.has("head_dim") => 128,
        None if hidden.is_multiple_of(heads) => hidden / heads,
        None => {
            return Err(fields.bad(
                "hidden_size",
                &format!("is {hidden}, which num_attention_heads {heads} does not divide"),
            ));
        }
    };
    if !head_dim.is_multiple_of(2) {
        return Err(
            fields.bad("head_dim", &format!("is {head_dim}; rotary positions need an even one"))
        );
    }
    Ok(head_dim)
}

fn norm_eps(fields: &Fields) -> Result<f32, ModelError> {
    let eps = fields.number("rms_norm_eps")?.unwrap_or(1e-6);
    if eps > 0.0 && eps < 1.0 {
        Ok(eps as f32)
    } else {
        Err(fields.bad("rms_norm_eps", &format!("is {eps}; it must be between 0 and 1")))
    }
}

/// All tokens that either file calls an end: chat models often name the end of a turn only in
/// `generation_config.json`.
fn eos(fields: &Fields, generation: Option<&[u8]>, vocab: usize) -> Result<Vec<u32>, ModelError> {
    let mut eos = fields.token_ids("eos_token_id", vocab)?;
    if let Some(generation) = generation {
        eos.extend(Fields::parse(GENERATION, generation)?.token_ids("eos_token_id", vocab)?);
    }
    eos.sort_unstable();
    eos.dedup();
    Ok(eos)
}

fn sliding(
    fields: &Fields,
    family: Family,
    layers: usize,
) -> Result<Option<SlidingWindow>, ModelError> {
    let absent = match family {
        Family::Llama => return Ok(None),
        Family::Mistral => 4096,
        Family::Qwen2 | Family::Qwen3 if fields.flag("use_sliding_window")?.unwrap_or(false) => {
            4096
        }
        Family::Qwen2 | Family::Qwen3 => return Ok(None),
    };
    let window = match (
        fields.has("sliding_window"),
        fields.optional_size("sliding_window", MAX_CONTEXT)?,
    ) {
        (_, Some(window)) => window,
        (true, None) => return Ok(None),
        (false, None) => absent,
    };
    let first_layer = match family {
        Family::Mistral => 0,
        _ => match fields.texts("layer_types")? {
            Some(types) => first_sliding(fields, &types, layers)?,
            None => fields.count("max_window_layers")?.unwrap_or(28),
        },
    };
    Ok((first_layer < layers).then_some(SlidingWindow { window, first_layer }))
}

fn first_sliding(fields: &Fields, types: &[&str], layers: usize) -> Result<usize, ModelError> {
    let first = types.iter().take_while(|kind| **kind == "full_attention").count();
    if types.len() == layers && types[first..].iter().all(|kind| *kind == "sliding_attention") {
        return Ok(first);
    }
    Err(ModelError::Unsupported {
        what: format!(
            "{}: layer_types other than {layers} entries of full_attention and then \
             sliding_attention",
            fields.file()
        ),
        mend: "use a model whose windowed layers come last",
    })
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
