//! Shape of a decoder layer: its heads and the width of its feed-forward block, which may differ
//! from layer to layer, as pruning leaves them.
//!
//! `config.json` states each size as one number for all layers, or as a list with a number for
//! each: `"num_attention_heads": [8, 6, 0, 8]`. Hugging Face transformers refuses the lists.

use serde::Serialize;
use tricorn_kernels::KvLayout;

use super::{Family, MAX_HEAD_DIM, MAX_HEADS, MAX_WIDTH, fields::Fields};
use crate::error::ModelError;

const HEADS: &str = "num_attention_heads";
const KV_HEADS: &str = "num_key_value_heads";
const HEAD_DIM: &str = "head_dim";
const INTERMEDIATE: &str = "intermediate_size";

/// Shape of one decoder layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct LayerShape {
    /// Query heads; 0 where the layer has no attention block.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head; even, and not always `hidden / heads`. 0 without attention.
    pub head_dim: usize,
    /// Width inside the feed-forward block; 0 where the layer has none.
    pub intermediate: usize,
}

impl LayerShape {
    /// Width of all query heads together.
    #[must_use]
    pub const fn query_width(self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key heads together, and of all value heads.
    #[must_use]
    pub const fn kv_width(self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Layout of the layer's keys and values in a cache.
    #[must_use]
    pub const fn kv_layout(self) -> KvLayout {
        KvLayout { kv_heads: self.kv_heads, head_dim: self.head_dim }
    }

    /// Whether the layer has an attention block.
    #[must_use]
    pub const fn has_attention(self) -> bool {
        self.heads > 0
    }

    /// Whether the layer has a feed-forward block.
    #[must_use]
    pub const fn has_mlp(self) -> bool {
        self.intermediate > 0
    }
}

/// The shapes of all layers, as `config.json` states them.
pub(super) fn parse(
    fields: &Fields,
    family: Family,
    hidden: usize,
    layers: usize,
) -> Result<Vec<LayerShape>, ModelError> {
    let list = |field: &str, max: usize| fields.sizes(field, max, layers);
    let heads = list(HEADS, MAX_HEADS)?.ok_or_else(|| fields.bad(HEADS, "is missing"))?;
    let kv_heads = kv_heads(fields, family, list(KV_HEADS, MAX_HEADS)?, &heads);
    let head_dim = match list(HEAD_DIM, MAX_HEAD_DIM)? {
        Some(head_dim) => head_dim,
        None => default_head_dim(fields, family, hidden, &heads)?,
    };
    let intermediate =
        list(INTERMEDIATE, MAX_WIDTH)?.ok_or_else(|| fields.bad(INTERMEDIATE, "is missing"))?;
    let shape = |layer: usize| {
        let (heads, kv_heads, head_dim) = match heads[layer] {
            0 => (0, 0, 0),
            heads => (heads, kv_heads[layer], head_dim[layer]),
        };
        LayerShape { heads, kv_heads, head_dim, intermediate: intermediate[layer] }
    };
    let shapes: Vec<LayerShape> = (0..layers).map(shape).collect();
    check(&shapes).map_err(|(field, problem)| fields.bad(field, &problem))?;
    Ok(shapes)
}

/// Checks that sizes are bounded and fit each other.
///
/// # Errors
/// The first field that does not, and what is wrong with it.
pub(super) fn check(shapes: &[LayerShape]) -> Result<(), (&'static str, String)> {
    let uneven = shapes.iter().any(|shape| *shape != shapes[0]);
    for (layer, shape) in shapes.iter().enumerate() {
        let place = if uneven { format!(" in layer {layer}") } else { String::new() };
        check_one(*shape).map_err(|(field, problem)| (field, problem + &place))?;
    }
    if !shapes.iter().any(|shape| shape.has_attention()) {
        return Err((HEADS, "leaves no layer with an attention block".to_owned()));
    }
    if !shapes.iter().any(|shape| shape.has_mlp()) {
        return Err((INTERMEDIATE, "leaves no layer with a feed-forward block".to_owned()));
    }
    Ok(())
}

fn check_one(shape: LayerShape) -> Result<(), (&'static str, String)> {
    let LayerShape { heads, kv_heads, head_dim, intermediate } = shape;
    let limits = [
        (HEADS, heads, MAX_HEADS),
        (HEAD_DIM, head_dim, MAX_HEAD_DIM),
        (INTERMEDIATE, intermediate, MAX_WIDTH),
    ];
    if let Some((field, size, max)) = limits.into_iter().find(|(_, size, max)| size > max) {
        return Err((field, format!("is {size}; it must be at most {max}")));
    }
    if heads == 0 {
        return match (kv_heads, head_dim) {
            (0, 0) => Ok(()),
            _ => Err((HEADS, "is 0 and the layer has key-value heads or a head width".to_owned())),
        };
    }
    if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
        let problem = format!("is {kv_heads}, which does not divide {HEADS} {heads}");
        return Err((KV_HEADS, problem));
    }
    if head_dim == 0 || !head_dim.is_multiple_of(2) {
        return Err((HEAD_DIM, format!("is {head_dim}; rotary positions need an even one")));
    }
    Ok(())
}

/// Key-value heads a layer, with the default of each family in transformers where they are not
/// stated.
fn kv_heads(
    fields: &Fields,
    family: Family,
    stated: Option<Vec<usize>>,
    heads: &[usize],
) -> Vec<usize> {
    match (stated, family) {
        (Some(stated), _) => stated,
        (None, Family::Mistral) if !fields.has(KV_HEADS) => vec![8; heads.len()],
        (None, Family::Qwen2 | Family::Qwen3) if !fields.has(KV_HEADS) => vec![32; heads.len()],
        (None, _) => heads.to_vec(),
    }
}

/// The width of a head where it is not stated. Nothing says it where layers differ in heads.
fn default_head_dim(
    fields: &Fields,
    family: Family,
    hidden: usize,
    heads: &[usize],
) -> Result<Vec<usize>, ModelError> {
    if family == Family::Qwen3 && !fields.has(HEAD_DIM) {
        return Ok(vec![128; heads.len()]);
    }
    let mut present = heads.iter().copied().filter(|heads| *heads > 0);
    let first = present.next().unwrap_or(1);
    if present.any(|other| other != first) {
        return Err(fields.bad(HEAD_DIM, "is missing; layers of different heads need it"));
    }
    if !hidden.is_multiple_of(first) {
        let problem = format!("is {hidden}, which {HEADS} {first} does not divide");
        return Err(fields.bad("hidden_size", &problem));
    }
    Ok(vec![hidden / first; heads.len()])
}
