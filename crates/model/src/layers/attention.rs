//! The self-attention half of a decoder layer.

use super::{
    batch::SeqRows,
    rope::RopeRows,
    scratch::{Scratch, add_rows, norm_rows, sized},
    tensors::AttentionTensors,
};
use crate::{error::ModelError, source::ModelSource};
use tricorn_kernels::{
    KvLayout, Linear, Queries, Sequence, View, attend,
    rows::{rms_norm_in_place, spread_rows},
};

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

impl Attention {
    pub(super) fn load(source: &ModelSource, layer: usize) -> Result<Self, ModelError> {
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
