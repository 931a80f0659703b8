//! A model's architecture, as `config.json` of Hugging Face transformers states it.

mod fields;
mod json;
mod rope;
mod shape;

use crate::error::ModelError;
use fields::Fields;
pub use rope::{Rope, RopeScaling};
pub use shape::LayerShape;
use std::ops::Range;
use tricorn_kernels::BlockLayout;

/// The name of the file that states a model's architecture.
pub(crate) const CONFIG: &str = "config.json";
/// The name of the file that states the tokens that end a text.
pub(crate) const GENERATION: &str = "generation_config.json";
const LONG_FACTOR: &str = "long_factor";

// Generous against every published model, and small enough that a product of any three fits 64
// bits.
const MAX_WIDTH: usize = 1 << 20;
pub(crate) const MAX_LAYERS: usize = 1 << 12;
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
    /// The family, which decides the layers' tensors.
    pub family: Family,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Decoder layers.
    pub layers: usize,
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
    /// One a layer.
    shapes: Vec<LayerShape>,
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
        let shapes = shape::parse(fields, family, hidden, layers)?;
        let vocab = fields.size("vocab_size", MAX_VOCAB)?;
        let context = fields.size("max_position_embeddings", MAX_CONTEXT)?;
        let biased = matches!(family, Family::Llama | Family::Qwen3)
            && fields.flag("attention_bias")?.unwrap_or(false);

        let rope = Rope::parse(fields, context)?;
        check_rope(&rope, &shapes).map_err(|problem| fields.bad(LONG_FACTOR, &problem))?;

        Ok(Self {
            family,
            hidden,
            layers,
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
            shapes,
        })
    }

    /// The shape of one layer.
    ///
    /// # Panics
    /// When there is no such layer.
    #[must_use]
    pub fn layer(&self, layer: usize) -> LayerShape {
        self.shapes[layer]
    }

    /// The shapes of all layers, in order.
    #[must_use]
    pub fn shapes(&self) -> &[LayerShape] {
        &self.shapes
    }

    /// The shape of every layer, where all have the same.
    #[must_use]
    pub fn even_shape(&self) -> Option<LayerShape> {
        let first = *self.shapes.first()?;
        self.shapes.iter().all(|shape| *shape == first).then_some(first)
    }

    /// The same architecture with other layers. Windows still begin at their first layer: whoever
    /// removes layers before it changes [`sliding`](Self::sliding) too.
    ///
    /// # Errors
    /// When there is no layer, or a size does not fit the others.
    pub fn with_layers(&self, shapes: Vec<LayerShape>) -> Result<Self, ModelError> {
        let refuse = |(field, problem): (&str, String)| ModelError::LayerShape {
            field: field.to_owned(),
            problem,
        };
        let layers = shapes.len();
        if layers == 0 || layers > MAX_LAYERS {
            let problem = format!("is {layers}; it must be from 1 to {MAX_LAYERS}");
            return Err(refuse(("num_hidden_layers", problem)));
        }
        shape::check(&shapes).map_err(refuse)?;
        check_rope(&self.rope, &shapes).map_err(|problem| refuse((LONG_FACTOR, problem)))?;
        let sliding = self.sliding.filter(|sliding| sliding.first_layer < layers);
        Ok(Self { layers, sliding, shapes, ..self.clone() })
    }

    /// The layout of a KV cache's block over a range of layers.
    ///
    /// # Panics
    /// When the range goes beyond the last layer.
    #[must_use]
    pub fn block_layout(&self, layers: Range<usize>) -> BlockLayout {
        BlockLayout::new(self.shapes[layers].iter().map(|shape| shape.kv_layout()))
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

/// Checks the divisors of rotary frequencies against every width of heads.
fn check_rope(rope: &Rope, shapes: &[LayerShape]) -> Result<(), String> {
    let mut layers = shapes.iter().filter(|shape| shape.has_attention());
    layers.try_for_each(|shape| rope.check(shape.head_dim))
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
