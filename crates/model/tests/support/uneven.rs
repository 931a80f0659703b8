//! A random model whose layers all differ, and a textbook forward pass in double precision.

use std::{collections::BTreeMap, fs};

use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use tricorn_model::{Activation, LayerShape};

use super::TempDir;

pub(crate) const HIDDEN: usize = 32;
/// As many as the fixtures' tokenizers have.
pub(crate) const VOCAB: usize = 280;
const EPS: f64 = 1e-5;
const THETA: f64 = 10_000.0;

/// Heads, key-value heads, head width and FFN width of each layer; zeros for absent blocks.
pub(crate) const SHAPES: [LayerShape; 6] = [
    shape(4, 2, 8, 64),
    shape(6, 3, 4, 40),
    shape(0, 0, 0, 24),
    shape(2, 1, 16, 96),
    shape(3, 3, 10, 0),
    shape(4, 1, 8, 33),
];

pub(crate) const fn shape(
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    intermediate: usize,
) -> LayerShape {
    LayerShape { heads, kv_heads, head_dim, intermediate }
}

/// Activations by layer and place, rows one after the other.
pub(crate) type Activations = BTreeMap<(usize, Activation), Vec<f64>>;

/// A model and its numbers by tensor name.
pub(crate) struct Uneven {
    pub(crate) dir: TempDir,
    pub(crate) shapes: Vec<LayerShape>,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Uneven {
    /// A Llama with biases everywhere, or a Qwen3, which norms queries and keys.
    pub(crate) fn new(family: &str, shapes: &[LayerShape]) -> Self {
        let dir = TempDir::new();
        let biases = family == "LlamaForCausalLM";
        fs::write(dir.file("config.json"), config(family, biases, shapes).to_string()).unwrap();
        let tensors = tensors(biases, shapes);
        let bytes: Vec<_> = tensors
            .iter()
            .map(|(name, (shape, numbers))| {
                let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
                (name, shape.clone(), bytes)
            })
            .collect();
        let views = bytes.iter().map(|(name, shape, bytes)| {
            (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        let serialized = safetensors::serialize(views, None).unwrap();
        fs::write(dir.file("model.safetensors"), serialized).unwrap();
        Self { dir, shapes: shapes.to_vec(), tensors }
    }

    fn get(&self, name: &str) -> Option<&[f32]> {
        self.tensors.get(name).map(|(_, numbers)| numbers.as_slice())
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let weights = self.get(&format!("{name}.weight")).unwrap();
        let bias = self.get(&format!("{name}.bias"));
        let row = |(output, weights): (usize, &[f32])| {
            let sum: f64 = weights.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum();
            sum + bias.map_or(0.0, |bias| f64::from(bias[output]))
        };
        weights.chunks_exact(x.len()).enumerate().map(row).collect()
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let weights = self.get(&format!("{name}.weight")).unwrap();
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean + EPS).sqrt();
        x.iter().zip(weights).map(|(x, w)| x * scale * f64::from(*w)).collect()
    }

    /// Heads of queries or keys at `pos`: normed where the model does, then rotated.
    fn rotated(&self, layer: usize, which: &str, x: &[f64], pos: usize) -> Vec<f64> {
        let prefix = format!("model.layers.{layer}.self_attn.{which}");
        let dim = self.shapes[layer].head_dim;
        let half = dim / 2;
        let mut out = Vec::new();
        for head in self.linear(&format!("{prefix}_proj"), x).chunks_exact(dim) {
            let normed = match self.get(&format!("{prefix}_norm.weight")) {
                Some(_) => self.norm(&format!("{prefix}_norm"), head),
                None => head.to_vec(),
            };
            let angle = |pair: usize| pos as f64 * THETA.powf(-2.0 * pair as f64 / dim as f64);
            out.extend((0..dim).map(|i| {
                let (sin, cos) = angle(i % half).sin_cos();
                if i < half {
                    normed[i] * cos - normed[i + half] * sin
                } else {
                    normed[i] * cos + normed[i - half] * sin
                }
            }));
        }
        out
    }

    /// Outputs of all heads of a layer, by row.
    fn attend(&self, layer: usize, normed: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let LayerShape { heads, kv_heads, head_dim, .. } = self.shapes[layer];
        let project = |which: &str| -> Vec<Vec<f64>> {
            normed.iter().enumerate().map(|(pos, x)| self.rotated(layer, which, x, pos)).collect()
        };
        let (queries, keys) = (project("q"), project("k"));
        let name = format!("model.layers.{layer}.self_attn.v_proj");
        let values: Vec<Vec<f64>> = normed.iter().map(|x| self.linear(&name, x)).collect();
        let head = |pos: usize, head: usize| {
            let (q, kv) = (head * head_dim, head / (heads / kv_heads) * head_dim);
            let score = |key: &Vec<f64>| {
                let dot: f64 = (0..head_dim).map(|i| queries[pos][q + i] * key[kv + i]).sum();
                (dot / (head_dim as f64).sqrt()).exp()
            };
            let weights: Vec<f64> = keys[..=pos].iter().map(score).collect();
            let total: f64 = weights.iter().sum();
            (0..head_dim)
                .map(|i| {
                    let seen = weights.iter().zip(&values);
                    seen.map(|(weight, value)| weight / total * value[kv + i]).sum()
                })
                .collect::<Vec<f64>>()
        };
        (0..normed.len()).map(|pos| (0..heads).flat_map(|h| head(pos, h)).collect()).collect()
    }

    /// Every activation of every layer, by layer and place, rows one after the other; and the
    /// logits of all rows.
    pub(crate) fn textbook(&self, tokens: &[u32]) -> (Activations, Vec<f64>) {
        let mut seen = BTreeMap::new();
        let table = self.get("model.embed_tokens.weight").unwrap();
        let row = |token: &u32| table[*token as usize * HIDDEN..][..HIDDEN].iter();
        let mut x: Vec<Vec<f64>> =
            tokens.iter().map(|token| row(token).map(|v| f64::from(*v)).collect()).collect();
        for (layer, shape) in self.shapes.iter().enumerate() {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            seen.insert((layer, Activation::Input), x.concat());
            if shape.heads > 0 {
                let normed: Vec<_> =
                    x.iter().map(|x| self.norm(&name("input_layernorm"), x)).collect();
                let heads = self.attend(layer, &normed);
                seen.insert((layer, Activation::AttentionInput), normed.concat());
                seen.insert((layer, Activation::HeadOutputs), heads.concat());
                for (x, heads) in x.iter_mut().zip(&heads) {
                    let added = self.linear(&name("self_attn.o_proj"), heads);
                    x.iter_mut().zip(added).for_each(|(x, y)| *x += y);
                }
            }
            if shape.intermediate > 0 {
                let (mut all_normed, mut all_inner) = (Vec::new(), Vec::new());
                for x in &mut x {
                    let normed = self.norm(&name("post_attention_layernorm"), x);
                    let gate = self.linear(&name("mlp.gate_proj"), &normed);
                    let up = self.linear(&name("mlp.up_proj"), &normed);
                    let silu = |(g, u): (&f64, &f64)| g / (1.0 + (-g).exp()) * u;
                    let inner: Vec<f64> = gate.iter().zip(&up).map(silu).collect();
                    let added = self.linear(&name("mlp.down_proj"), &inner);
                    x.iter_mut().zip(added).for_each(|(x, y)| *x += y);
                    all_normed.extend(normed);
                    all_inner.extend(inner);
                }
                seen.insert((layer, Activation::MlpInput), all_normed);
                seen.insert((layer, Activation::Inner), all_inner);
            }
            seen.insert((layer, Activation::Output), x.concat());
        }
        let logits = x.iter().flat_map(|x| self.linear("lm_head", &self.norm("model.norm", x)));
        (seen, logits.collect())
    }
}

fn config(family: &str, biases: bool, shapes: &[LayerShape]) -> Value {
    let list = |size: fn(&LayerShape) -> usize| shapes.iter().map(size).collect::<Vec<_>>();
    json!({
        "architectures": [family],
        "hidden_size": HIDDEN,
        "num_hidden_layers": shapes.len(),
        "num_attention_heads": list(|shape| shape.heads),
        "num_key_value_heads": list(|shape| shape.kv_heads),
        "head_dim": list(|shape| shape.head_dim),
        "intermediate_size": list(|shape| shape.intermediate),
        "vocab_size": VOCAB,
        "max_position_embeddings": 128,
        "rms_norm_eps": EPS,
        "rope_theta": THETA,
        "attention_bias": biases,
        "mlp_bias": biases,
        "tie_word_embeddings": false,
        "bos_token_id": 0,
        "eos_token_id": 1,
    })
}

fn tensors(biases: bool, shapes: &[LayerShape]) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let mut seed = 1_u32;
    let mut noise = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut tensors = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| {
        let norm = name.ends_with("norm.weight");
        let scale = (3.0 / *shape.last().unwrap() as f32).sqrt();
        let number = |noise: f32| if norm { 1.0 + 0.3 * noise } else { scale * noise };
        let count = shape.iter().product();
        let numbers: Vec<f32> = (0..count).map(|_| number(noise())).collect();
        tensors.insert(name, (shape.to_vec(), numbers));
    };
    add("model.embed_tokens.weight".to_owned(), &[VOCAB, HIDDEN]);
    add("model.norm.weight".to_owned(), &[HIDDEN]);
    add("lm_head.weight".to_owned(), &[VOCAB, HIDDEN]);
    for (layer, shape) in shapes.iter().enumerate() {
        let (q, kv) = (shape.query_width(), shape.kv_width());
        let mut matrices = Vec::new();
        if shape.has_attention() {
            add(format!("model.layers.{layer}.input_layernorm.weight"), &[HIDDEN]);
            let outputs = [("q", q), ("k", kv), ("v", kv)];
            matrices
                .extend(outputs.map(|(part, out)| (format!("self_attn.{part}_proj"), out, HIDDEN)));
            matrices.push(("self_attn.o_proj".to_owned(), HIDDEN, q));
            if !biases {
                for part in ["q", "k"] {
                    let name = format!("model.layers.{layer}.self_attn.{part}_norm.weight");
                    add(name, &[shape.head_dim]);
                }
            }
        }
        if shape.has_mlp() {
            add(format!("model.layers.{layer}.post_attention_layernorm.weight"), &[HIDDEN]);
            let inner = shape.intermediate;
            matrices.push(("mlp.gate_proj".to_owned(), inner, HIDDEN));
            matrices.push(("mlp.up_proj".to_owned(), inner, HIDDEN));
            matrices.push(("mlp.down_proj".to_owned(), HIDDEN, inner));
        }
        for (name, outputs, inputs) in matrices {
            add(format!("model.layers.{layer}.{name}.weight"), &[outputs, inputs]);
            if biases {
                add(format!("model.layers.{layer}.{name}.bias"), &[outputs]);
            }
        }
    }
    tensors
}
