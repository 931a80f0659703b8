//! JSON of a configuration, as Hugging Face transformers 4 and 5 read it.

use super::{Family, LayerShape, ModelConfig, Rope, RopeScaling};
use serde_json::{Value, json};

impl ModelConfig {
    /// The content of `config.json`. Sizes in which layers differ become lists.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (architecture, model_type) = match self.family {
            Family::Llama => ("LlamaForCausalLM", "llama"),
            Family::Mistral => ("MistralForCausalLM", "mistral"),
            Family::Qwen2 => ("Qwen2ForCausalLM", "qwen2"),
            Family::Qwen3 => ("Qwen3ForCausalLM", "qwen3"),
        };
        let mut config = json!({
            "architectures": [architecture],
            "model_type": model_type,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": sizes(self.shapes(), |shape| shape.heads),
            "num_key_value_heads": sizes(self.shapes(), |shape| shape.kv_heads),
            "head_dim": self.head_dim_json(),
            "intermediate_size": sizes(self.shapes(), |shape| shape.intermediate),
            "vocab_size": self.vocab,
            "max_position_embeddings": self.context,
            "rms_norm_eps": plain(self.norm_eps),
            "hidden_act": "silu",
            "tie_word_embeddings": self.tied,
            "attention_bias": self.o_bias,
            "mlp_bias": self.mlp_bias,
            "rope_theta": plain(self.rope.theta),
            "rope_scaling": scaling(&self.rope, self.context),
            "bos_token_id": self.bos,
            "eos_token_id": ends(&self.eos),
        });
        match (self.family, self.sliding) {
            (Family::Llama, _) => {}
            (Family::Mistral, sliding) => {
                config["sliding_window"] = json!(sliding.map(|sliding| sliding.window));
            }
            (Family::Qwen2 | Family::Qwen3, None) => config["use_sliding_window"] = json!(false),
            (Family::Qwen2 | Family::Qwen3, Some(sliding)) => {
                config["use_sliding_window"] = json!(true);
                config["sliding_window"] = json!(sliding.window);
                config["max_window_layers"] = json!(sliding.first_layer);
            }
        }
        config
    }

    /// The content of `generation_config.json`.
    #[must_use]
    pub fn generation_json(&self) -> Value {
        json!({ "bos_token_id": self.bos, "eos_token_id": ends(&self.eos) })
    }

    /// One width where all layers with attention have the same.
    fn head_dim_json(&self) -> Value {
        let mut widths =
            self.shapes().iter().filter(|shape| shape.has_attention()).map(|shape| shape.head_dim);
        let first = widths.next();
        if widths.all(|width| Some(width) == first) {
            json!(first)
        } else {
            sizes(self.shapes(), |shape| shape.head_dim)
        }
    }
}

/// One number where all layers have the same, else a list.
fn sizes(shapes: &[LayerShape], size: impl Fn(&LayerShape) -> usize) -> Value {
    let sizes: Vec<usize> = shapes.iter().map(size).collect();
    match sizes.first().filter(|first| sizes.iter().all(|size| size == *first)) {
        Some(first) => json!(first),
        None => json!(sizes),
    }
}

fn scaling(rope: &Rope, context: usize) -> Value {
    match &rope.scaling {
        RopeScaling::None => Value::Null,
        RopeScaling::Linear { factor } => {
            json!({ "rope_type": "linear", "factor": plain(*factor) })
        }
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
            json!({
                "rope_type": "llama3",
                "factor": plain(*factor),
                "low_freq_factor": plain(*low_freq_factor),
                "high_freq_factor": plain(*high_freq_factor),
                "original_max_position_embeddings": original_context,
            })
        }
        RopeScaling::PerPair { divisors } => {
            let divisors: Vec<f64> = divisors.iter().copied().map(plain).collect();
            json!({
                "rope_type": "longrope",
                "factor": 1.0,
                "attention_factor": 1.0,
                "short_factor": divisors,
                "long_factor": divisors,
                "original_max_position_embeddings": context,
            })
        }
    }
}

fn ends(eos: &[u32]) -> Value {
    match eos {
        [] => Value::Null,
        [one] => json!(one),
        several => json!(several),
    }
}

/// The number with the fewest digits that reads as this one in single precision.
fn plain(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}
