//! The attention that all kinds of drafters share: `hidden` wide, with as many key-value heads as
//! query heads.

use super::head_dim;
use crate::{
    config::ModelConfig, error::ModelError, layers::attention::Attention, weights::Weights,
};
use tricorn_kernels::{BlockLayout, KvLayout, Linear};

const NORM: &str = "norm.weight";
const PROJECTIONS: [&str; 4] = ["q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight"];

/// The norm (`hidden`) and four projections (`hidden x hidden`).
pub(super) fn tensors(config: &ModelConfig) -> [(&'static str, Vec<usize>); 5] {
    let hidden = config.hidden;
    let [q, k, v, o] = PROJECTIONS.map(|name| (name, vec![hidden, hidden]));
    [(NORM, vec![hidden]), q, k, v, o]
}

/// The drafter's key-value heads.
pub(super) fn kv_layout(config: &ModelConfig) -> KvLayout {
    let head_dim = head_dim(config);
    KvLayout { kv_heads: config.hidden / head_dim, head_dim }
}

/// Layout of its cache, which has one layer.
pub(super) fn layout(config: &ModelConfig) -> BlockLayout {
    BlockLayout::new([kv_layout(config)])
}

pub(super) fn load(weights: &Weights, config: &ModelConfig) -> Result<Attention, ModelError> {
    let hidden = config.hidden;
    let [q, k, v, o] = PROJECTIONS;
    let square = |name: &str| weights.raw(name, &[hidden, hidden]);
    Ok(Attention {
        norm: weights.f32(NORM, &[hidden])?,
        qkv: Linear::pack(&[square(q)?.view(), square(k)?.view(), square(v)?.view()], hidden, None),
        qk_norm: None,
        output: Linear::pack(&[square(o)?.view()], hidden, None),
        heads: kv_layout(config).kv_heads,
        norm_eps: config.norm_eps,
        window: None,
    })
}
