//! Test models: tiny random ones in folders that vanish.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use half::bf16;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use tricorn_core::Split;
use tricorn_model::{Drafter, DrafterInfo, DrafterKind, ModelSource};

use crate::{
    config::DistillConfig,
    rng::Rng,
    student::{export, tensors::Tensors},
};

pub(crate) const SPLIT: Split = Split { input_layers: 1, output_layers: 1 };
const VOCAB: usize = 24;

/// A folder of its own below the system's temporary folder, removed on drop.
pub(crate) struct TempDir(tempfile::TempDir);

impl TempDir {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Three layers of random weights; `extra` replaces fields of the configuration.
pub(crate) fn tiny_model(dir: &TempDir, extra: &Value) -> Arc<ModelSource> {
    let mut config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 16,
        "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": VOCAB, "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false,
        "hidden_act": "silu", "bos_token_id": 0, "eos_token_id": 1
    });
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let size = |name: &str| config[name].as_u64().unwrap() as usize;
    let (hidden, inner) = (size("hidden_size"), size("intermediate_size"));
    let head_dim = config["head_dim"]
        .as_u64()
        .map_or(hidden / size("num_attention_heads"), |dim| dim as usize);
    let (q, kv) = (size("num_attention_heads") * head_dim, size("num_key_value_heads") * head_dim);

    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCAB, hidden]),
        ("lm_head.weight".to_owned(), vec![VOCAB, hidden]),
        ("model.norm.weight".to_owned(), vec![hidden]),
    ];
    for layer in 0..size("num_hidden_layers") {
        for (name, shape) in [
            ("input_layernorm", vec![hidden]),
            ("post_attention_layernorm", vec![hidden]),
            ("self_attn.q_proj", vec![q, hidden]),
            ("self_attn.k_proj", vec![kv, hidden]),
            ("self_attn.v_proj", vec![kv, hidden]),
            ("self_attn.o_proj", vec![hidden, q]),
            ("mlp.gate_proj", vec![inner, hidden]),
            ("mlp.up_proj", vec![inner, hidden]),
            ("mlp.down_proj", vec![hidden, inner]),
        ] {
            shapes.push((format!("model.layers.{layer}.{name}.weight"), shape));
        }
    }
    let mut rng = Rng::new(11, 0);
    let stored: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let (mean, spread) = if shape.len() == 1 { (1.0, 0.1) } else { (0.0, 0.4) };
            let bytes = (0..shape.iter().product())
                .flat_map(|_| (mean + spread * rng.normal()).to_le_bytes())
                .collect();
            (name, shape, bytes)
        })
        .collect();
    let views = stored.iter().map(|(name, shape, bytes)| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    fs::write(dir.file("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    fs::write(dir.file("config.json"), config.to_string()).unwrap();
    fs::write(dir.file("tokenizer.json"), tokenizer().to_string()).unwrap();
    Arc::new(ModelSource::open(dir.0.path()).unwrap())
}

/// Words `w2` to `w23`, separated by spaces.
fn tokenizer() -> Value {
    let vocab: serde_json::Map<String, Value> = (0..VOCAB)
        .map(|id| {
            (if id < 2 { ["<s>", "</s>"][id].to_owned() } else { format!("w{id}") }, json!(id))
        })
        .collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "w2"}
    })
}

/// A JSONL file of random prompts and responses.
pub(crate) fn write_examples(path: &Path, count: u64, seed: u64) {
    let mut lines = String::new();
    for line in 0..count {
        let mut rng = Rng::new(seed, line);
        let mut words = |from: usize, to: usize| {
            let count = from + (rng.unit() * (to - from) as f64) as usize;
            (0..count)
                .map(|_| format!(" w{}", 2 + (rng.unit() * 22.0) as usize))
                .collect::<String>()
        };
        let example = json!({"prompt": words(2, 6), "response": words(4, 30)});
        lines += &format!("{example}\n");
    }
    fs::write(path, lines).unwrap();
}

/// Settings of a short run on the tiny model, with its data written.
pub(crate) fn tiny_config(dir: &TempDir) -> DistillConfig {
    let (data, valid) = (dir.file("train.jsonl"), dir.file("valid.jsonl"));
    write_examples(&data, 40, 1);
    write_examples(&valid, 4, 2);
    let mut config = DistillConfig::new(data, valid, dir.file("out"));
    config.split = SPLIT;
    config.budget.steps = Some(6);
    (config.batch_tokens, config.context, config.warmup_steps) = (100, 24, 2);
    config.eval_every = 300;
    (config.learning_rate, config.own_text) = (2e-3, 0.0);
    (config.held_out.prompts, config.held_out.new_tokens) = (3, 12);
    config
}

/// The drafter that the product reads after training wrote these weights, for a [`tiny_model`].
pub(crate) fn written_drafter(dir: &TempDir, source: &ModelSource, weights: &Tensors) -> Drafter {
    let path = dir.file("weights");
    export::write_weights(weights, source.config(), &path).unwrap();
    let info = DrafterInfo {
        kind: weights.kind(),
        split: SPLIT.to_string(),
        fingerprint: String::new(),
        threshold: 0.5,
        trained_tokens: 0,
        measured: BTreeMap::new(),
    };
    export::read_drafter(source, &path, info).unwrap()
}

/// Weights that the drafter's file can hold, with every tensor at work.
pub(crate) fn weights(kind: DrafterKind, source: &ModelSource) -> Tensors {
    let mut weights = Tensors::initial(kind, source, SPLIT, 1).unwrap();
    if let Some(block) = &mut weights.block {
        let mut rng = Rng::new(5, 9);
        block.fuse.iter_mut().for_each(|v| *v = 0.2 * rng.normal());
    }
    for values in weights.all_mut() {
        values.iter_mut().for_each(|v| *v = bf16::from_f32(*v).to_f32());
    }
    weights
}
