//! Decoder layers on the accelerator.

use super::{
    Accelerator,
    attention::Plan,
    kv::Kv,
    matrix::{Matrix, rounded},
};
use crate::{
    error::ModelError,
    kv::{KvCache, KvPool},
    layers::{
        SeqRows,
        batch::{commit, prepare},
        rope::RopeTable,
        tensors::{AttentionTensors, MlpTensors},
    },
    source::ModelSource,
};
use candle_core::{Result, Tensor};
use candle_nn::{
    ops::{rms_norm, swiglu},
    rotary_emb::rope_thd,
};
use std::{ops::Range, sync::Arc};
use tricorn_kernels::KvLayout;

/// Attention scores that are in memory at a time, over all heads: 256 MiB in f32.
const TILE_SCORES: usize = 1 << 26;

/// A contiguous range of decoder layers.
#[derive(Debug)]
pub(crate) struct Layers {
    accelerator: Accelerator,
    layers: Vec<Layer>,
    rope: RopeTable,
    layout: KvLayout,
    heads: usize,
    hidden: usize,
    norm_eps: f32,
}

#[derive(Debug)]
struct Layer {
    attention_norm: Tensor,
    qkv: Matrix,
    qk_norm: Option<(Tensor, Tensor)>,
    output: Matrix,
    window: Option<usize>,
    mlp_norm: Tensor,
    gate_up: Matrix,
    down: Matrix,
}

/// What all layers of one call share.
struct Call<'a> {
    batch: &'a [SeqRows<'a>],
    caches: Vec<&'a Kv>,
    /// Of every row: `rows x head_dim / 2`.
    cos: Tensor,
    sin: Tensor,
    /// For each window that occurs.
    plans: Vec<(Option<usize>, Plan)>,
}

impl Layer {
    fn load(
        source: &ModelSource,
        accelerator: &Accelerator,
        layer: usize,
    ) -> std::result::Result<Self, ModelError> {
        let (attention, mlp) =
            (AttentionTensors::read(source, layer)?, MlpTensors::read(source, layer)?);
        let vector = |values: Vec<f32>| {
            let len = values.len();
            Tensor::from_vec(values, len, accelerator.candle())
                .map_err(|error| accelerator.failed(error))
        };
        let matrix = |stack| Matrix::load(source, accelerator, stack);
        Ok(Self {
            attention_norm: vector(attention.norm)?,
            qkv: matrix(&attention.qkv)?,
            qk_norm: attention
                .qk_norm
                .map(|(q, k)| Ok::<_, ModelError>((vector(q)?, vector(k)?)))
                .transpose()?,
            output: matrix(&attention.output)?,
            window: source.config().window(layer),
            mlp_norm: vector(mlp.norm)?,
            gate_up: matrix(&mlp.gate_up)?,
            down: matrix(&mlp.down)?,
        })
    }

    fn bytes(&self) -> usize {
        let norms = [&self.attention_norm, &self.mlp_norm]
            .into_iter()
            .chain(self.qk_norm.iter().flat_map(|(q, k)| [q, k]));
        let matrices = [&self.qkv, &self.output, &self.gate_up, &self.down];
        matrices.map(Matrix::bytes).iter().sum::<usize>()
            + norms.map(|norm| norm.elem_count() * size_of::<f32>()).sum::<usize>()
    }
}

impl Layers {
    /// Reads the weights of `range` and nothing else.
    pub(crate) fn load(
        source: &ModelSource,
        accelerator: &Accelerator,
        range: Range<usize>,
    ) -> std::result::Result<Self, ModelError> {
        let config = source.config();
        Ok(Self {
            accelerator: accelerator.clone(),
            layers: range
                .map(|layer| Layer::load(source, accelerator, layer))
                .collect::<std::result::Result<_, _>>()?,
            rope: RopeTable::new(&config.rope, config.head_dim),
            layout: KvLayout { kv_heads: config.kv_heads, head_dim: config.head_dim },
            heads: config.heads,
            hidden: config.hidden,
            norm_eps: config.norm_eps,
        })
    }

    pub(crate) fn new_kv(&self, pool: &Arc<KvPool>, context: usize) -> KvCache {
        let kv = Kv::new(&self.accelerator, self.layout, self.layers.len(), pool.format());
        KvCache::accelerated(kv, self.layout, self.layers.len(), pool, context)
    }

    /// Bytes of weights held on the accelerator.
    pub(crate) fn bytes(&self) -> usize {
        self.layers.iter().map(Layer::bytes).sum()
    }

    /// Runs the layers in place on `x`, the rows of all sequences one after the other (`total rows
    /// x hidden`).
    ///
    /// # Errors
    /// When a sequence's cache has no room or the accelerator fails; no cache has then lost a
    /// position that it was not asked to truncate, and `x` is as it was.
    pub(crate) fn forward(
        &self,
        batch: &mut [SeqRows<'_>],
        x: &mut [f32],
    ) -> std::result::Result<(), ModelError> {
        if self.layers.is_empty() {
            // Nothing is cached, so rows at any position are in order.
            return Ok(());
        }
        prepare(batch)?;
        if !x.is_empty() {
            let deep = self.run(batch, x).map_err(|error| self.accelerator.failed(error))?;
            x.copy_from_slice(&deep);
        }
        commit(batch);
        Ok(())
    }

    fn run(&self, batch: &[SeqRows<'_>], x: &[f32]) -> Result<Vec<f32>> {
        let device = self.accelerator.candle();
        let rows = x.len() / self.hidden;
        let call = self.call(batch, rows)?;
        let mut x = Tensor::from_slice(x, (rows, self.hidden), device)?;
        for (index, layer) in self.layers.iter().enumerate() {
            x = (&x + self.attention(index, layer, &call, &x)?)?;
            let normed = rms_norm(&x, &layer.mlp_norm, self.norm_eps)?;
            x = (&x + layer.down.apply(&swiglu(&layer.gate_up.apply(&normed)?)?)?)?;
        }
        x.flatten_all()?.to_vec1()
    }

    fn call<'a>(&self, batch: &'a [SeqRows<'a>], rows: usize) -> Result<Call<'a>> {
        let device = self.accelerator.candle();
        let caches = batch.iter().map(|seq| match seq.kv.on_accelerator() {
            Some(kv) => Ok(kv),
            None => candle_core::bail!("a sequence's cache is in host memory"),
        });
        let caches = caches.collect::<Result<Vec<_>>>()?;
        let mut plans: Vec<(Option<usize>, Plan)> = Vec::new();
        for layer in &self.layers {
            if plans.iter().all(|(window, _)| *window != layer.window) {
                let positions = batch.iter().map(|seq| seq.pos..seq.pos + seq.rows);
                plans.push((
                    layer.window,
                    Plan::new(positions, layer.window, TILE_SCORES / self.heads, device)?,
                ));
            }
        }
        let (cos, sin) =
            self.rope.rows(batch.iter().flat_map(|seq| seq.pos..seq.pos + seq.rows)).into_parts();
        let angles = |values| Tensor::from_vec(values, (rows, self.layout.head_dim / 2), device);
        Ok(Call { batch, caches, cos: angles(cos)?, sin: angles(sin)?, plans })
    }

    /// The self-attention half: what it adds to the residual stream `x`.
    fn attention(
        &self,
        index: usize,
        layer: &Layer,
        call: &Call<'_>,
        x: &Tensor,
    ) -> Result<Tensor> {
        let KvLayout { kv_heads, head_dim } = self.layout;
        let rows = x.dim(0)?;
        let (q, kv) = (self.heads * head_dim, kv_heads * head_dim);
        let qkv = layer.qkv.apply(&rms_norm(x, &layer.attention_norm, self.norm_eps)?)?;
        let mut queries = qkv.narrow(1, 0, q)?.reshape((1, rows, self.heads, head_dim))?;
        let mut keys = qkv.narrow(1, q, kv)?.reshape((1, rows, kv_heads, head_dim))?;
        let values = qkv.narrow(1, q + kv, kv)?.reshape((rows, kv_heads, head_dim))?;
        if let Some((q_norm, k_norm)) = &layer.qk_norm {
            queries = rms_norm(&queries, q_norm, self.norm_eps)?;
            keys = rms_norm(&keys, k_norm, self.norm_eps)?;
        }
        let queries = (rope_thd(&queries, &call.cos, &call.sin)?.squeeze(0)?
            * (head_dim as f64).sqrt().recip())?;
        let keys = rope_thd(&keys, &call.cos, &call.sin)?.squeeze(0)?;

        let mut first = 0;
        for (seq, cache) in call.batch.iter().zip(&call.caches) {
            let own = |all: &Tensor| {
                rounded(
                    &all.narrow(0, first, seq.rows)?.transpose(0, 1)?.contiguous()?,
                    cache.dtype(),
                )
            };
            if seq.rows > 0 {
                cache.write(index, seq.pos, &own(&keys)?, &own(&values)?)?;
            }
            first += seq.rows;
        }
        let Some((_, plan)) = call.plans.iter().find(|(window, _)| *window == layer.window) else {
            candle_core::bail!("layer {index} has no plan of its window");
        };
        layer.output.apply(&plan.attend(index, self.layout, &call.caches, &queries)?)
    }
}
