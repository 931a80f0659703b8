//! Decoder layers: run a contiguous range of them on a ragged batch.

mod tensors;

pub(crate) use tensors::{AttentionTensors, MlpTensors, Stack};

use crate::{
    error::ModelError,
    kv::{KvCache, KvError, KvPool},
    rope::{RopeRows, RopeTable},
    source::ModelSource,
};
use rayon::prelude::*;
use std::{ops::Range, sync::Arc};
use tricorn_kernels::{
    KvLayout, Linear, Queries, Sequence, View, attend,
    rows::{add, rms_norm, rms_norm_in_place, spread_rows, swiglu},
};

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

/// The self-attention half of a decoder layer: norm, projections, optional q/k norms, rope,
/// attention, output projection.
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

/// Memory that the layers of one call use one after the other; nothing in it is kept from one to
/// the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// `rows x hidden`.
    normed: Vec<f32>,
    /// What is projected from that: queries, keys and values, or gate and up.
    wide: Vec<f32>,
    /// What is projected back: what attention gives, or SwiGLU.
    inner: Vec<f32>,
}

/// The first `len` numbers of some scratch, whatever they are.
fn sized(scratch: &mut Vec<f32>, len: usize) -> &mut [f32] {
    scratch.resize(len, 0.0);
    scratch
}

/// A contiguous range of decoder layers.
#[derive(Debug)]
pub(crate) struct Layers {
    layers: Vec<(Attention, Mlp)>,
    rope: RopeTable,
    layout: KvLayout,
    hidden: usize,
}

impl Attention {
    fn load(source: &ModelSource, layer: usize) -> Result<Self, ModelError> {
        let (config, tensors) = (source.config(), AttentionTensors::read(source, layer)?);
        Ok(Self {
            norm: tensors.norm,
            qkv: source.linear(&tensors.qkv.parts, tensors.qkv.inputs, tensors.qkv.bias)?,
            qk_norm: tensors.qk_norm,
            output: source.linear(
                &tensors.output.parts,
                tensors.output.inputs,
                tensors.output.bias,
            )?,
            heads: config.heads,
            layout: KvLayout { kv_heads: config.kv_heads, head_dim: config.head_dim },
            norm_eps: config.norm_eps,
            window: config.window(layer),
        })
    }

    /// Projects the rows and writes their keys and values to the caches; leaves `rows x (q | k |
    /// v)` in the scratch, rope applied to q and k.
    pub(crate) fn project(
        &self,
        layer: usize,
        batch: &mut [SeqRows<'_>],
        rope: &RopeRows,
        x: &[f32],
        scratch: &mut Scratch,
    ) {
        let Scratch { normed, wide, .. } = scratch;
        norm_rows(x, &self.norm, self.norm_eps, sized(normed, x.len()));
        let (q, kv) =
            (self.heads * self.layout.head_dim, self.layout.kv_heads * self.layout.head_dim);
        let stride = q + 2 * kv;
        let qkv = sized(wide, x.len() / self.norm.len() * stride);
        self.qkv.apply_into(normed, qkv);
        spread_rows(qkv, stride, |first, rows| {
            for (index, row) in rows.chunks_exact_mut(stride).enumerate() {
                if let Some((q_norm, k_norm)) = &self.qk_norm {
                    rms_norm_in_place(&mut row[..q], q_norm, self.norm_eps);
                    rms_norm_in_place(&mut row[q..q + kv], k_norm, self.norm_eps);
                }
                rope.rotate(first + index, &mut row[..q + kv]);
            }
        });
        let mut rows = qkv.chunks_exact(stride);
        for seq in batch {
            for (pos, row) in (seq.pos..seq.pos + seq.rows).zip(&mut rows) {
                let (key, value) = row[q..].split_at(kv);
                seq.kv.write(layer, pos, key, value);
            }
        }
    }

    /// Adds the block's output to the residual stream `x` (`rows x hidden`).
    pub(crate) fn forward(
        &self,
        layer: usize,
        batch: &mut [SeqRows<'_>],
        rope: &RopeRows,
        x: &mut [f32],
        scratch: &mut Scratch,
    ) {
        self.project(layer, batch, rope, x, scratch);
        let Scratch { normed, wide, inner } = scratch;
        let width = self.heads * self.layout.head_dim;
        let stride = width + 2 * self.layout.kv_heads * self.layout.head_dim;
        let sequences: Vec<Sequence<'_>> = batch
            .iter()
            .map(|seq| Sequence { blocks: seq.kv.blocks(), pos: seq.pos, rows: seq.rows })
            .collect();
        let attended = sized(inner, wide.len() / stride * width);
        let view = View { layout: self.layout, layer, window: self.window };
        attend(view, &sequences, Queries { rows: wide, stride, heads: self.heads }, attended);
        self.output.apply_into(attended, normed);
        add_rows(x, normed, self.norm.len());
    }

    pub(crate) fn bytes(&self) -> usize {
        self.qkv.bytes()
            + self.output.bytes()
            + self.norm.len() * 4
            + self.qk_norm.as_ref().map_or(0, |(q, k)| (q.len() + k.len()) * 4)
    }
}

impl Mlp {
    fn load(source: &ModelSource, layer: usize) -> Result<Self, ModelError> {
        let (config, tensors) = (source.config(), MlpTensors::read(source, layer)?);
        Ok(Self {
            norm: tensors.norm,
            gate_up: source.linear(
                &tensors.gate_up.parts,
                tensors.gate_up.inputs,
                tensors.gate_up.bias,
            )?,
            down: source.linear(&tensors.down.parts, tensors.down.inputs, tensors.down.bias)?,
            intermediate: config.intermediate,
            norm_eps: config.norm_eps,
        })
    }

    /// Adds the block's output to the residual stream `x` (`rows x hidden`).
    pub(crate) fn forward(&self, x: &mut [f32], scratch: &mut Scratch) {
        let Scratch { normed, wide, inner } = scratch;
        norm_rows(x, &self.norm, self.norm_eps, sized(normed, x.len()));
        let (n, rows) = (self.intermediate, x.len() / self.norm.len());
        let gate_up = sized(wide, rows * 2 * n);
        self.gate_up.apply_into(normed, gate_up);
        let inner = sized(inner, rows * n);
        spread_rows(inner, n, |first, inner| swiglu(&gate_up[first * 2 * n..], n, inner));
        self.down.apply_into(inner, normed);
        add_rows(x, normed, self.norm.len());
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

    /// Runs the layers in place on `x`, the rows of all sequences one after the other (`total rows
    /// x hidden`).
    ///
    /// # Errors
    /// When a sequence's cache has no room; no cache has then lost a position that it was not asked
    /// to truncate, and `x` is as it was.
    pub(crate) fn forward(&self, batch: &mut [SeqRows<'_>], x: &mut [f32]) -> Result<(), KvError> {
        debug_assert_eq!(x.len(), batch.iter().map(|seq| seq.rows).sum::<usize>() * self.hidden);
        if self.layers.is_empty() {
            // Nothing is cached, so rows at any position are in order.
            return Ok(());
        }
        prepare(batch)?;
        let rope = self.rope.rows(batch.iter().flat_map(|seq| seq.pos..seq.pos + seq.rows));
        let mut scratch = Scratch::default();
        for (index, (attention, mlp)) in self.layers.iter().enumerate() {
            attention.forward(index, batch, &rope, x, &mut scratch);
            mlp.forward(x, &mut scratch);
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

fn norm_rows(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let width = weight.len();
    spread_rows(out, width, |first, out| rms_norm(&x[first * width..], weight, eps, out));
}

fn add_rows(x: &mut [f32], y: &[f32], width: usize) {
    spread_rows(x, width, |first, x| add(x, &y[first * width..]));
}
