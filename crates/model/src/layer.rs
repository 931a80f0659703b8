//! Decoder layers: run a contiguous range of them on a ragged batch.

use crate::{
    error::ModelError,
    kernels::{KvLayout, Linear, attend, rms_norm, swiglu},
    kv::{KvCache, KvError, KvPool},
    rope::{RopeRows, RopeTable},
    source::ModelSource,
};
use rayon::prelude::*;
use std::{ops::Range, sync::Arc};

/// One sequence's share of a ragged batch: `rows` rows at positions `pos..pos + rows`.
#[derive(Debug)]
pub struct SeqRows<'a> {
    /// The sequence's cache over the layers that run; truncated to `pos` first.
    pub kv: &'a mut KvCache,
    /// Position of the first row.
    pub pos: usize,
    /// Number of rows.
    pub rows: usize,
}

/// The self-attention half of a decoder layer: norm, projections, optional q/k norms, rope, attention, output projection.
#[derive(Debug)]
pub(crate) struct Attention {
    pub(crate) norm: Vec<f32>,
    pub(crate) qkv: Linear,
    pub(crate) qk_norm: Option<(Vec<f32>, Vec<f32>)>,
    pub(crate) output: Linear,
    pub(crate) heads: usize,
    pub(crate) layout: KvLayout,
    pub(crate) norm_eps: f32,
    /// How far back a row sees, itself included.
    pub(crate) window: Option<usize>,
}

/// The feed-forward half: norm and SwiGLU.
#[derive(Debug)]
pub(crate) struct Mlp {
    pub(crate) norm: Vec<f32>,
    pub(crate) gate_up: Linear,
    pub(crate) down: Linear,
    pub(crate) intermediate: usize,
    pub(crate) norm_eps: f32,
}

/// A contiguous range of decoder layers.
#[derive(Debug)]
pub(crate) struct Layers {
    layers: Vec<(Attention, Mlp)>,
    rope: RopeTable,
    layout: KvLayout,
    hidden: usize,
}

/// Below this many multiply-adds attention stays on the calling thread.
const PARALLEL_FROM: usize = 1 << 20;

impl Attention {
    fn load(source: &ModelSource, layer: usize) -> Result<Self, ModelError> {
        let (config, weights) = (source.config(), source.weights());
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let hidden = config.hidden;
        let (q, kv) = (config.query_width(), config.kv_width());
        let stack = [("q", q), ("k", kv), ("v", kv)];
        let parts = stack.map(|(p, out)| (name(&format!("self_attn.{p}_proj.weight")), out));
        let bias = if config.qkv_bias {
            let biases = stack.iter().map(|(p, out)| weights.f32(&name(&format!("self_attn.{p}_proj.bias")), &[*out]));
            Some(biases.collect::<Result<Vec<_>, _>>()?.concat())
        } else {
            None
        };
        let output_bias = if config.o_bias { Some(weights.f32(&name("self_attn.o_proj.bias"), &[hidden])?) } else { None };
        let qk_norm = if config.qk_norm {
            let norm = |which: &str| weights.f32(&name(&format!("self_attn.{which}_norm.weight")), &[config.head_dim]);
            Some((norm("q")?, norm("k")?))
        } else {
            None
        };
        Ok(Self {
            norm: weights.f32(&name("input_layernorm.weight"), &[hidden])?,
            qkv: source.linear(&parts, hidden, bias)?,
            qk_norm,
            output: source.linear(&[(name("self_attn.o_proj.weight"), hidden)], q, output_bias)?,
            heads: config.heads,
            layout: KvLayout { kv_heads: config.kv_heads, head_dim: config.head_dim },
            norm_eps: config.norm_eps,
            window: config.window(layer),
        })
    }

    /// Projects the rows and writes their keys and values to the caches; returns `rows x (q | k | v)`, rope applied to q and k.
    pub(crate) fn project(&self, layer: usize, batch: &mut [SeqRows<'_>], rope: &RopeRows, x: &[f32]) -> Vec<f32> {
        let mut normed = vec![0.0; x.len()];
        rms_norm(x, &self.norm, self.norm_eps, &mut normed);
        let mut qkv = self.qkv.apply(&normed);
        let (q, kv) = (self.heads * self.layout.head_dim, self.layout.kv_heads * self.layout.head_dim);
        let mut rows = qkv.chunks_exact_mut(q + 2 * kv).enumerate();
        for seq in batch {
            for (pos, (index, row)) in (seq.pos..seq.pos + seq.rows).zip(&mut rows) {
                let (query, rest) = row.split_at_mut(q);
                let (key, value) = rest.split_at_mut(kv);
                if let Some((q_norm, k_norm)) = &self.qk_norm {
                    let before = query.to_vec();
                    rms_norm(&before, q_norm, self.norm_eps, query);
                    let before = key.to_vec();
                    rms_norm(&before, k_norm, self.norm_eps, key);
                }
                rope.rotate(index, query);
                rope.rotate(index, key);
                seq.kv.write(layer, pos, key, value);
            }
        }
        qkv
    }

    /// Adds the block's output to the residual stream `x` (`rows x hidden`).
    pub(crate) fn forward(&self, layer: usize, batch: &mut [SeqRows<'_>], rope: &RopeRows, x: &mut [f32]) {
        let qkv = self.project(layer, batch, rope, x);
        let width = self.heads * self.layout.head_dim;
        let stride = width + 2 * self.layout.kv_heads * self.layout.head_dim;
        let blocks: Vec<Vec<&[f32]>> = batch.iter().map(|seq| seq.kv.layer_blocks(layer)).collect();
        let rows: Vec<(usize, usize)> =
            batch.iter().enumerate().flat_map(|(i, seq)| (seq.pos + 1..=seq.pos + seq.rows).map(move |to| (i, to))).collect();
        let mut attended = vec![0.0; rows.len() * width];
        let one = |scores: &mut Vec<f32>, index: usize, out: &mut [f32]| {
            let (seq, to) = rows[index];
            let from = self.window.map_or(0, |window| to.saturating_sub(window));
            attend(self.layout, &blocks[seq], from, to, &qkv[index * stride..][..width], scores, out);
        };
        let work: usize = rows.iter().map(|(_, to)| to * width * 2).sum();
        if work < PARALLEL_FROM {
            let mut scores = Vec::new();
            attended.chunks_exact_mut(width).enumerate().for_each(|(index, out)| one(&mut scores, index, out));
        } else {
            attended.par_chunks_exact_mut(width).enumerate().for_each_init(Vec::new, |scores, (index, out)| one(scores, index, out));
        }
        add(x, &self.output.apply(&attended));
    }

    pub(crate) fn bytes(&self) -> usize {
        self.qkv.bytes() + self.output.bytes() + self.norm.len() * 4 + self.qk_norm.as_ref().map_or(0, |(q, k)| (q.len() + k.len()) * 4)
    }
}

impl Mlp {
    fn load(source: &ModelSource, layer: usize) -> Result<Self, ModelError> {
        let (config, weights) = (source.config(), source.weights());
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let (hidden, intermediate) = (config.hidden, config.intermediate);
        let bias = |which: &str, out: usize| weights.f32(&name(&format!("mlp.{which}_proj.bias")), &[out]);
        let gate_up = ["gate", "up"].map(|which| (name(&format!("mlp.{which}_proj.weight")), intermediate));
        let (gate_up_bias, down_bias) = if config.mlp_bias {
            (Some([bias("gate", intermediate)?, bias("up", intermediate)?].concat()), Some(bias("down", hidden)?))
        } else {
            (None, None)
        };
        Ok(Self {
            norm: weights.f32(&name("post_attention_layernorm.weight"), &[hidden])?,
            gate_up: source.linear(&gate_up, hidden, gate_up_bias)?,
            down: source.linear(&[(name("mlp.down_proj.weight"), hidden)], intermediate, down_bias)?,
            intermediate,
            norm_eps: config.norm_eps,
        })
    }

    /// Adds the block's output to the residual stream `x` (`rows x hidden`).
    pub(crate) fn forward(&self, x: &mut [f32]) {
        let mut normed = vec![0.0; x.len()];
        rms_norm(x, &self.norm, self.norm_eps, &mut normed);
        let gate_up = self.gate_up.apply(&normed);
        let mut inner = vec![0.0; gate_up.len() / 2];
        swiglu(&gate_up, self.intermediate, &mut inner);
        self.down.apply_into(&inner, &mut normed);
        add(x, &normed);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.gate_up.bytes() + self.down.bytes() + self.norm.len() * 4
    }
}

impl Layers {
    /// Reads the weights of `range` and nothing else.
    pub(crate) fn load(source: &ModelSource, range: Range<usize>) -> Result<Self, ModelError> {
        let config = source.config();
        Ok(Self {
            layers: range
                .into_par_iter()
                .map(|layer| Ok((Attention::load(source, layer)?, Mlp::load(source, layer)?)))
                .collect::<Result<_, ModelError>>()?,
            rope: RopeTable::new(&config.rope, config.head_dim),
            layout: KvLayout { kv_heads: config.kv_heads, head_dim: config.head_dim },
            hidden: config.hidden,
        })
    }

    pub(crate) fn new_kv(&self, pool: &Arc<KvPool>, context: usize) -> KvCache {
        KvCache::new(pool, self.layout, self.layers.len(), context)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.layers.iter().map(|(attention, mlp)| attention.bytes() + mlp.bytes()).sum()
    }

    /// Runs the layers in place on `x`, the rows of all sequences one after the other (`total rows x hidden`).
    ///
    /// # Errors
    /// When a sequence's cache has no room; no cache has then lost a position that it was not asked to truncate, and `x` is as it was.
    pub(crate) fn forward(&self, batch: &mut [SeqRows<'_>], x: &mut [f32]) -> Result<(), KvError> {
        debug_assert_eq!(x.len(), batch.iter().map(|seq| seq.rows).sum::<usize>() * self.hidden);
        if self.layers.is_empty() {
            // Nothing is cached, so rows at any position are in order.
            return Ok(());
        }
        prepare(batch)?;
        let rope = self.rope.rows(batch.iter().flat_map(|seq| seq.pos..seq.pos + seq.rows));
        for (index, (attention, mlp)) in self.layers.iter().enumerate() {
            attention.forward(index, batch, &rope, x);
            mlp.forward(x);
        }
        commit(batch);
        Ok(())
    }
}

/// Makes room for every sequence of a batch.
pub(crate) fn prepare(batch: &mut [SeqRows<'_>]) -> Result<(), KvError> {
    batch.iter_mut().try_for_each(|seq| seq.kv.prepare(seq.pos, seq.rows))
}

/// Declares every row of a batch written.
pub(crate) fn commit(batch: &mut [SeqRows<'_>]) {
    batch.iter_mut().for_each(|seq| seq.kv.commit(seq.pos + seq.rows));
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}
