//! Models to test with: the fixtures as they are, and variants that draft well.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, tensor::TensorView};
use serde_json::Value;
use tricorn_core::Split;
use tricorn_model::{
    DrafterInfo, DrafterKind, ModelSource,
    formats::hf::{INDEX_FILE, SINGLE_FILE},
};

use super::{TempDir, copy_dir};

/// The folders below tests/fixtures that hold a model.
pub(crate) const FAMILIES: [&str; 5] = ["llama", "llama-rope3", "mistral", "qwen2", "qwen3"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    root().join("tests/fixtures").join(name)
}

/// The files of the model that is built into the binary.
pub(crate) fn demo() -> PathBuf {
    root().join("models/demo")
}

pub(crate) fn split(text: &str) -> Split {
    text.parse().unwrap()
}

pub(crate) fn stories_prompts() -> Vec<String> {
    let lines = fs::read_to_string(fixture("stories_prompts.jsonl")).unwrap();
    lines
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["prompt"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// A copy of a model with a drafter for `cut` that is random, and right as often as chance has it.
pub(crate) fn poor_drafter(model: &Path, cut: &str) -> TempDir {
    let copy = copy_dir(model);
    write_drafter(copy.path(), cut, 0.5);
    copy
}

/// A copy of a model whose layers after the first cut change little, with a drafter for `cut`: one
/// that hands on the shallow row with a little noise, and so is often right and sometimes wrong.
pub(crate) fn fair_drafter(model: &Path, cut: &str) -> TempDir {
    let copy = calm_model(model, cut);
    write_drafter(copy.path(), cut, 0.05);
    copy
}

/// Query heads, key-value heads, head width and FFN width of each layer of [`uneven_model`]; zeros
/// for a block that the layer does not have.
const UNEVEN: [[usize; 4]; 6] =
    [[4, 2, 16, 64], [6, 3, 8, 40], [0, 0, 0, 96], [2, 1, 16, 33], [3, 3, 10, 0], [4, 1, 8, 64]];

/// A Qwen3 whose layers all differ in shape, as pruning leaves them, and two of which lack a block.
pub(crate) fn uneven_model() -> TempDir {
    let copy = copy_dir(&fixture("qwen3"));
    let path = copy.file("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["num_hidden_layers"] = UNEVEN.len().into();
    config["layer_types"] = Value::Null;
    let fields = ["num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size"];
    for (index, field) in fields.into_iter().enumerate() {
        config[field] = UNEVEN.iter().map(|shape| shape[index]).collect::<Vec<_>>().into();
    }
    let source = ModelSource::open(copy.path()).unwrap();
    let hidden = source.config().hidden;
    let kept = source.weights().iter().filter(|(name, _)| !name.starts_with("model.layers."));
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = kept
        .map(|(name, info)| {
            let values = source.weights().f32(name, &info.shape).unwrap();
            (name.to_owned(), info.shape.clone(), values)
        })
        .collect();
    let mut random = Random(3);
    for (layer, [heads, kv_heads, head_dim, inner]) in UNEVEN.into_iter().enumerate() {
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        let attention = [
            ("input_layernorm", vec![hidden]),
            ("self_attn.q_norm", vec![head_dim]),
            ("self_attn.k_norm", vec![head_dim]),
            ("self_attn.q_proj", vec![q, hidden]),
            ("self_attn.k_proj", vec![kv, hidden]),
            ("self_attn.v_proj", vec![kv, hidden]),
            ("self_attn.o_proj", vec![hidden, q]),
        ];
        let mlp = [
            ("post_attention_layernorm", vec![hidden]),
            ("mlp.gate_proj", vec![inner, hidden]),
            ("mlp.up_proj", vec![inner, hidden]),
            ("mlp.down_proj", vec![hidden, inner]),
        ];
        let present = (heads > 0).then_some(attention).into_iter().flatten();
        for (name, shape) in present.chain((inner > 0).then_some(mlp).into_iter().flatten()) {
            let count = shape.iter().product();
            let values = match shape[..] {
                [_, inputs] => random.uniform(count, (3.0 / inputs as f32).sqrt()),
                _ => vec![1.0; count],
            };
            tensors.push((format!("model.layers.{layer}.{name}.weight"), shape, values));
        }
    }
    drop(source);
    fs::write(path, config.to_string()).unwrap();
    write_tensors(&copy.file(SINGLE_FILE), tensors);
    copy
}

/// Writes a drafter with random weights; `loudness` is the scale of what it adds to the shallow
/// row, 0 for nothing.
pub(crate) fn write_drafter(dir: &Path, cut: &str, loudness: f32) {
    write_drafter_of(DrafterKind::Hat, dir, cut, loudness);
}

/// As [`write_drafter`], for any kind.
pub(crate) fn write_drafter_of(kind: DrafterKind, dir: &Path, cut: &str, loudness: f32) {
    let source = ModelSource::open(dir).unwrap();
    let mut random = Random(7);
    let scale = (3.0 / source.config().hidden as f32).sqrt();
    let tensors = kind.tensors(source.config()).into_iter().map(|(name, shape)| {
        let count = shape.iter().product();
        let values = match name {
            _ if name.ends_with("norm.weight") => vec![1.0; count],
            "o_proj.weight" | "fuse.weight" | "down_proj.weight" => {
                random.uniform(count, scale * loudness)
            }
            _ => random.uniform(count, scale),
        };
        (name, shape, values)
    });
    write_tensors(&dir.join(kind.weights_file()), tensors);
    let info = DrafterInfo {
        kind,
        split: cut.to_owned(),
        fingerprint: source.fingerprint().unwrap().to_hex(),
        threshold: 0.0,
        trained_tokens: 0,
        measured: BTreeMap::new(),
    };
    fs::write(dir.join(kind.info_file()), serde_json::to_vec(&info).unwrap()).unwrap();
}

/// A copy of a model whose layers after the first cut change little, without a drafter.
pub(crate) fn calm_model(model: &Path, cut: &str) -> TempDir {
    let copy = copy_dir(model);
    calm(copy.path(), split(cut).input_layers, 1.0 / 16.0);
    copy
}

/// Rewrites a model so that what its layers from `first` on add to a row is `factor` of what it
/// was.
fn calm(dir: &Path, first: usize, factor: f32) {
    let source = ModelSource::open(dir).unwrap();
    let tensors: Vec<_> = source
        .weights()
        .iter()
        .map(|(name, info)| {
            let mut values = source.weights().f32(name, &info.shape).unwrap();
            let layer = name
                .strip_prefix("model.layers.")
                .and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
            let adds = name.contains(".o_proj.") || name.contains(".down_proj.");
            if adds && layer.is_some_and(|layer| layer >= first) {
                values.iter_mut().for_each(|value| *value *= factor);
            }
            (name.to_owned(), info.shape.clone(), values)
        })
        .collect();
    drop(source);
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "safetensors")
            || path.ends_with(INDEX_FILE)
        {
            fs::remove_file(path).unwrap();
        }
    }
    write_tensors(&dir.join(SINGLE_FILE), tensors);
}

fn write_tensors<N: AsRef<str>>(
    path: &Path,
    tensors: impl IntoIterator<Item = (N, Vec<usize>, Vec<f32>)>,
) {
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape, values)| {
            (
                name.as_ref().to_owned(),
                shape,
                values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            )
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// SplitMix64.
struct Random(u64);

impl Random {
    /// Values in `-scale .. scale`.
    fn uniform(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 * scale - scale).collect()
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}
