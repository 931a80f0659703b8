//! Decoder layers on the accelerator.

use super::{
    attention::Plan,
    matrix::{Matrix, rounded},
};
use crate::{
    compute_device::accelerator::Accelerator,
    error::ModelError,
    kv::{KvCache, KvPool, accelerated::Kv},
    layers::{
        SeqRows,
        batch::{commit, prepare},
        rope::RopeTables,
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
use tricorn_kernels::{BlockLayout, KvLayout};

/// Attention scores that are in memory at a time, over all heads: 256 MiB in f32.
const TILE_SCORES: usize = 1 << 26;

/// A contiguous range of decoder layers.
#[derive(Debug)]
pub(crate) struct Layers {
    accelerator: Accelerator,
    layers: Vec<Layer>,
    ropes: RopeTables,
    layout: Arc<BlockLayout>,
    hidden: usize,
    norm_eps: f32,
}

/// One decoder layer, with the blocks that it has.
#[derive(Debug)]
struct Layer {
    attention: Option<Attention>,
    mlp: Option<Mlp>,
}

#[derive(Debug)]
struct Attention {
    norm: Tensor,
    qkv: Matrix,
    qk_norm: Option<(Tensor, Tensor)>,
    output: Matrix,
    window: Option<usize>,
    heads: usize,
    layout: KvLayout,
    /// Index of its heads' width among the rotary tables.
    rope: usize,
}

#[derive(Debug)]
struct Mlp {
    norm: Tensor,
    gate_up: Matrix,
    down: Matrix,
}

/// The part of a call that all layers share.
struct Call<'a> {
    batch: &'a [SeqRows<'a>],
    caches: Vec<&'a Kv>,
    /// Cosines and sines for each width of heads: `rows x head_dim / 2` each.
    angles: Vec<(Tensor, Tensor)>,
    /// For each window that occurs.
    plans: Vec<(Option<usize>, Plan)>,
}

impl Attention {
    fn load(
        source: &ModelSource,
        accelerator: &Accelerator,
        layer: usize,
        ropes: &RopeTables,
    ) -> std::result::Result<Self, ModelError> {
        let (config, tensors) = (source.config(), AttentionTensors::read(source, layer)?);
        let shape = config.layer(layer);
        let vector = |values| vector(accelerator, values);
        let qk_norm = match tensors.qk_norm {
            Some((q, k)) => Some((vector(q)?, vector(k)?)),
            None => None,
        };
        Ok(Self {
            norm: vector(tensors.norm)?,
            qkv: Matrix::load(source, accelerator, &tensors.qkv)?,
            qk_norm,
            output: Matrix::load(source, accelerator, &tensors.output)?,
            window: config.window(layer),
            heads: shape.heads,
            layout: shape.kv_layout(),
            rope: ropes.index(shape.head_dim),
        })
    }

    fn bytes(&self) -> usize {
        let norms = [&self.norm].into_iter().chain(self.qk_norm.iter().flat_map(|(q, k)| [q, k]));
        self.qkv.bytes()
            + self.output.bytes()
            + norms.map(|norm| norm.elem_count() * size_of::<f32>()).sum::<usize>()
    }
}

impl Mlp {
    fn load(
        source: &ModelSource,
        accelerator: &Accelerator,
        layer: usize,
    ) -> std::result::Result<Self, ModelError> {
        let tensors = MlpTensors::read(source, layer)?;
        Ok(Self {
            norm: vector(accelerator, tensors.norm)?,
            gate_up: Matrix::load(source, accelerator, &tensors.gate_up)?,
            down: Matrix::load(source, accelerator, &tensors.down)?,
        })
    }

    fn bytes(&self) -> usize {
        self.gate_up.bytes() + self.down.bytes() + self.norm.elem_count() * size_of::<f32>()
    }
}

fn vector(accelerator: &Accelerator, values: Vec<f32>) -> std::result::Result<Tensor, ModelError> {
    let len = values.len();
    Tensor::from_vec(values, len, accelerator.candle()).map_err(|error| accelerator.failed(error))
}

impl Layer {
    fn load(
        source: &ModelSource,
        accelerator: &Accelerator,
        layer: usize,
        ropes: &RopeTables,
    ) -> std::result::Result<Self, ModelError> {
        let shape = source.config().layer(layer);
        Ok(Self {
            attention: shape
                .has_attention()
                .then(|| Attention::load(source, accelerator, layer, ropes))
                .transpose()?,
            mlp: shape.has_mlp().then(|| Mlp::load(source, accelerator, layer)).transpose()?,
        })
    }

    fn bytes(&self) -> usize {
        self.attention.as_ref().map_or(0, Attention::bytes)
            + self.mlp.as_ref().map_or(0, Mlp::bytes)
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
        let ropes = RopeTables::new(&config.rope, &config.shapes()[range.clone()]);
        Ok(Self {
            accelerator: accelerator.clone(),
            layout: Arc::new(config.block_layout(range.clone())),
            layers: range
                .map(|layer| Layer::load(source, accelerator, layer, &ropes))
                .collect::<std::result::Result<_, _>>()?,
            ropes,
            hidden: config.hidden,
            norm_eps: config.norm_eps,
        })
    }

    pub(crate) fn new_kv(&self, pool: &Arc<KvPool>, context: usize) -> KvCache {
        let kv = Kv::new(&self.accelerator, &self.layout, pool.format());
        KvCache::accelerated(kv, &self.layout, pool, context)
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
            if let Some(attention) = &layer.attention {
                x = (&x + self.attention(index, attention, &call, &x)?)?;
            }
            if let Some(Mlp { norm, gate_up, down }) = &layer.mlp {
                let normed = rms_norm(&x, norm, self.norm_eps)?;
                x = (&x + down.apply(&swiglu(&gate_up.apply(&normed)?)?)?)?;
            }
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
        let attentions = || self.layers.iter().filter_map(|layer| layer.attention.as_ref());
        let heads = attentions().map(|attention| attention.heads).max().unwrap_or(1);
        for Attention { window, .. } in attentions() {
            if plans.iter().all(|(planned, _)| planned != window) {
                let positions = batch.iter().map(|seq| seq.pos..seq.pos + seq.rows);
                plans.push((*window, Plan::new(positions, *window, TILE_SCORES / heads, device)?));
            }
        }
        let positions = batch.iter().flat_map(|seq| seq.pos..seq.pos + seq.rows);
        let angles = self.ropes.rows(positions).into_rows().map(|angles| {
            let (cos, sin) = angles.into_parts();
            let half = cos.len() / rows;
            let tensor = |values| Tensor::from_vec(values, (rows, half), device);
            Ok((tensor(cos)?, tensor(sin)?))
        });
        Ok(Call { batch, caches, angles: angles.collect::<Result<_>>()?, plans })
    }

    /// The self-attention half: what it adds to the residual stream `x`.
    fn attention(
        &self,
        index: usize,
        attention: &Attention,
        call: &Call<'_>,
        x: &Tensor,
    ) -> Result<Tensor> {
        let Attention { heads, layout, .. } = *attention;
        let KvLayout { kv_heads, head_dim } = layout;
        let Some((cos, sin)) = call.angles.get(attention.rope) else {
            candle_core::bail!("layer {index} has no rotary table of its width");
        };
        let rows = x.dim(0)?;
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        let qkv = attention.qkv.apply(&rms_norm(x, &attention.norm, self.norm_eps)?)?;
        let mut queries = qkv.narrow(1, 0, q)?.reshape((1, rows, heads, head_dim))?;
        let mut keys = qkv.narrow(1, q, kv)?.reshape((1, rows, kv_heads, head_dim))?;
        let values = qkv.narrow(1, q + kv, kv)?.reshape((rows, kv_heads, head_dim))?;
        if let Some((q_norm, k_norm)) = &attention.qk_norm {
            queries = rms_norm(&queries, q_norm, self.norm_eps)?;
            keys = rms_norm(&keys, k_norm, self.norm_eps)?;
        }
        let queries =
            (rope_thd(&queries, cos, sin)?.squeeze(0)? * (head_dim as f64).sqrt().recip())?;
        let keys = rope_thd(&keys, cos, sin)?.squeeze(0)?;

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
        let Some((_, plan)) = call.plans.iter().find(|(window, _)| *window == attention.window)
        else {
            candle_core::bail!("layer {index} has no plan of its window");
        };
        attention.output.apply(&plan.attend(index, layout, &call.caches, &queries)?)
    }
}
