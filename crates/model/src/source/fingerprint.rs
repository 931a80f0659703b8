//! The digest that tells one model from another.

use blake3::Hasher;
use tricorn_core::Fingerprint;

use crate::{
    config::{LayerShape, ModelConfig, RopeScaling},
    error::ModelError,
    weights::{TensorInfo, Weights},
};

const EDGE: usize = 4096;
const PROBE: usize = 64;
const PROBES: usize = 64;

/// Digest of everything in the architecture that decides a number, then of every tensor in order of
/// name: name, format, shape, the first and last 4 KiB, and up to 64 probes of 64 bytes between.
/// How the tensors are spread over files does not matter.
pub(super) fn compute(config: &ModelConfig, weights: &Weights) -> Result<Fingerprint, ModelError> {
    let mut hasher = Hasher::new_derive_key("tricorn model fingerprint 1");
    architecture(&mut hasher, config);
    for (name, info) in weights.iter() {
        text(&mut hasher, name);
        text(&mut hasher, &info.stored.to_string());
        numbers(&mut hasher, &info.shape);
        content(&mut hasher, weights, info)?;
    }
    Ok(Fingerprint(*hasher.finalize().as_bytes()))
}

fn architecture(hasher: &mut Hasher, config: &ModelConfig) {
    text(hasher, &format!("{:?}", config.family));
    shapes(hasher, config);
    let flags = [config.tied, config.qkv_bias, config.o_bias, config.mlp_bias, config.qk_norm];
    numbers(hasher, &flags.map(usize::from));
    floats(hasher, &[config.norm_eps, config.rope.theta]);
    match config.rope.scaling {
        RopeScaling::None => text(hasher, "none"),
        RopeScaling::Linear { factor } => {
            text(hasher, "linear");
            floats(hasher, &[factor]);
        }
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
            text(hasher, "llama3");
            floats(hasher, &[factor, low_freq_factor, high_freq_factor]);
            numbers(hasher, &[original_context]);
        }
        RopeScaling::PerPair { ref divisors } => {
            text(hasher, "per pair");
            floats(hasher, divisors);
        }
    }
    match config.sliding {
        None => numbers(hasher, &[]),
        Some(sliding) => numbers(hasher, &[sliding.window, sliding.first_layer]),
    }
}

/// Sizes of equal layers once, as in fingerprints since the first; of others, layer by layer.
fn shapes(hasher: &mut Hasher, config: &ModelConfig) {
    let ModelConfig { hidden, layers, vocab, .. } = *config;
    match config.even_shape() {
        Some(LayerShape { heads, kv_heads, head_dim, intermediate }) => {
            numbers(hasher, &[hidden, layers, heads, kv_heads, head_dim, intermediate, vocab])
        }
        None => {
            numbers(hasher, &[hidden, layers, vocab]);
            for LayerShape { heads, kv_heads, head_dim, intermediate } in config.shapes() {
                numbers(hasher, &[*heads, *kv_heads, *head_dim, *intermediate]);
            }
        }
    }
}

fn content(hasher: &mut Hasher, weights: &Weights, info: &TensorInfo) -> Result<(), ModelError> {
    let length = info.bytes();
    numbers(hasher, &[length]);
    if length <= 2 * EDGE {
        hasher.update(&weights.read_stored(info, 0..length)?);
        return Ok(());
    }
    hasher.update(&weights.read_stored(info, 0..EDGE)?);
    hasher.update(&weights.read_stored(info, length - EDGE..length)?);
    let between = EDGE..length - EDGE;
    let stride = between.len().div_ceil(PROBES).max(PROBE);
    for probe in between.clone().step_by(stride) {
        hasher.update(&weights.read_stored(info, probe..between.end.min(probe + PROBE))?);
    }
    Ok(())
}

// Every field carries its length, so that no two different inputs make the same stream.
fn text(hasher: &mut Hasher, text: &str) {
    numbers(hasher, &[text.len()]);
    hasher.update(text.as_bytes());
}

fn numbers(hasher: &mut Hasher, numbers: &[usize]) {
    hasher.update(&(numbers.len() as u64).to_le_bytes());
    for number in numbers {
        hasher.update(&(*number as u64).to_le_bytes());
    }
}

fn floats(hasher: &mut Hasher, floats: &[f32]) {
    for float in floats {
        hasher.update(&float.to_bits().to_le_bytes());
    }
}
