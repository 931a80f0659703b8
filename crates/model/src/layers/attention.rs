//! The self-attention half of a decoder layer.

use super::{
    batch::SeqRows,
    rope::RopeRows,
    scratch::{Scratch, add_rows, norm_rows, sized},
    tensors::AttentionTensors,
};
use crate::{error::ModelError, source::ModelSource};
use tricorn_kernels::{
    KvLayout, KvShare, Linear, Queries, Sequence, View, attend,
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
            heads: config.layer(layer).heads,
            norm_eps: config.norm_eps,
            window: config.window(layer),
        })
    }

    /// Widths of all query heads together, and of all key heads.
    fn widths(&self, share: KvShare) -> (usize, usize) {
        let KvLayout { kv_heads, head_dim } = share.layout;
        (self.heads * head_dim, kv_heads * head_dim)
    }

    /// Projects the rows and writes their keys and values to the caches' `share` of this layer;
    /// leaves the normed rows and `rows x (q | k | v)` in the scratch, rope applied to q and k.
    pub(crate) fn project(
        &self,
        share: KvShare,
        batch: &mut [SeqRows<'_>],
        rope: &RopeRows,
        x: &[f32],
        scratch: &mut Scratch,
    ) {
        let Scratch { normed, wide, .. } = scratch;
        norm_rows(x, &self.norm, self.norm_eps, sized(normed, x.len()));
        let (q, kv) = self.widths(share);
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
                seq.kv.write(share, pos, key, value);
            }
        }
    }

    /// Attends with the projected rows; leaves the outputs of all heads side by side in the scratch
    /// (`rows x heads * head_dim`).
    pub(crate) fn attend(&self, share: KvShare, batch: &[SeqRows<'_>], scratch: &mut Scratch) {
        let Scratch { wide, inner, .. } = scratch;
        let (width, kv) = self.widths(share);
        let stride = width + 2 * kv;
        let sequences: Vec<Sequence<'_>> = batch
            .iter()
            .map(|seq| Sequence { blocks: seq.kv.blocks(), pos: seq.pos, rows: seq.rows })
            .collect();
        let attended = sized(inner, wide.len() / stride * width);
        let view = View { share, window: self.window };
        attend(view, &sequences, Queries { rows: wide, stride, heads: self.heads }, attended);
    }

    /// Projects the heads' outputs and adds them to the residual stream `x` (`rows x hidden`).
    pub(crate) fn add_output(&self, x: &mut [f32], scratch: &mut Scratch) {
        let Scratch { normed, inner, .. } = scratch;
        self.output.apply_into(inner, normed);
        add_rows(x, normed, self.norm.len());
    }

    /// Adds the block's output to the residual stream `x` (`rows x hidden`).
    pub(crate) fn forward(
        &self,
        share: KvShare,
        batch: &mut [SeqRows<'_>],
        rope: &RopeRows,
        x: &mut [f32],
        scratch: &mut Scratch,
    ) {
        self.project(share, batch, rope, x, scratch);
        self.attend(share, batch, scratch);
        self.add_output(x, scratch);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.qkv.bytes()
            + self.output.bytes()
            + self.norm.len() * 4
            + self.qk_norm.as_ref().map_or(0, |(q, k)| (q.len() + k.len()) * 4)
    }
}
