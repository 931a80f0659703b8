//! Decoder layers: run a contiguous range of them on a ragged batch.

pub(crate) mod attention;
pub(crate) mod batch;
pub(crate) mod mlp;
pub(crate) mod observer;
pub(crate) mod rope;
pub(crate) mod scratch;
pub(crate) mod tensors;

pub use batch::SeqRows;
pub use observer::{Activation, LayerObserver};

use crate::{
    error::ModelError,
    kv::{KvCache, KvError, KvPool},
    source::ModelSource,
};
use attention::Attention;
use batch::{commit, prepare};
use mlp::Mlp;
use observer::Unobserved;
use rayon::prelude::*;
use rope::{RopeRows, RopeTables};
use scratch::Scratch;
use std::{ops::Range, sync::Arc};
use tricorn_kernels::{BlockLayout, KvShare};

/// A contiguous range of decoder layers.
#[derive(Debug)]
pub(crate) struct Layers {
    layers: Vec<Layer>,
    ropes: RopeTables,
    layout: Arc<BlockLayout>,
    hidden: usize,
}

/// One decoder layer, with the blocks that it has.
#[derive(Debug)]
struct Layer {
    /// In the whole model.
    number: usize,
    attention: Option<Attention>,
    mlp: Option<Mlp>,
    /// Index of its heads' width among the rotary tables.
    rope: usize,
}

impl Layers {
    /// Reads the weights of `range` and nothing else.
    pub(crate) fn load(source: &ModelSource, range: Range<usize>) -> Result<Self, ModelError> {
        let config = source.config();
        let ropes = RopeTables::new(&config.rope, &config.shapes()[range.clone()]);
        Ok(Self {
            layout: Arc::new(config.block_layout(range.clone())),
            layers: range
                .into_par_iter()
                .map(|layer| Layer::load(source, layer, &ropes))
                .collect::<Result<_, ModelError>>()?,
            ropes,
            hidden: config.hidden,
        })
    }

    pub(crate) fn new_kv(&self, pool: &Arc<KvPool>, context: usize) -> KvCache {
        KvCache::new(pool, &self.layout, context)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.layers.iter().map(Layer::bytes).sum()
    }

    /// Runs the layers in place on `x`, the rows of all sequences one after the other (`total rows
    /// x hidden`).
    ///
    /// # Errors
    /// When a sequence's cache has no room; no cache has then lost a position that it was not asked
    /// to truncate, and `x` is as it was.
    pub(crate) fn forward(&self, batch: &mut [SeqRows<'_>], x: &mut [f32]) -> Result<(), KvError> {
        self.forward_observed(batch, x, &mut Unobserved)
    }

    /// As [`Layers::forward`], and shows `observer` the activations.
    ///
    /// # Errors
    /// As [`Layers::forward`].
    pub(crate) fn forward_observed<O: LayerObserver + ?Sized>(
        &self,
        batch: &mut [SeqRows<'_>],
        x: &mut [f32],
        observer: &mut O,
    ) -> Result<(), KvError> {
        debug_assert_eq!(x.len(), batch.iter().map(|seq| seq.rows).sum::<usize>() * self.hidden);
        if self.layers.is_empty() {
            // Nothing is cached, so rows at any position are in order.
            return Ok(());
        }
        prepare(batch)?;
        let ropes = self.ropes.rows(batch.iter().flat_map(|seq| seq.pos..seq.pos + seq.rows));
        let mut scratch = Scratch::default();
        for (index, layer) in self.layers.iter().enumerate() {
            let rope = ropes.get(layer.rope);
            layer.forward(self.layout.share(index), batch, rope, x, &mut scratch, observer);
        }
        commit(batch);
        Ok(())
    }
}

impl Layer {
    fn load(source: &ModelSource, number: usize, ropes: &RopeTables) -> Result<Self, ModelError> {
        let shape = source.config().layer(number);
        Ok(Self {
            number,
            attention: shape
                .has_attention()
                .then(|| Attention::load(source, number))
                .transpose()?,
            mlp: shape.has_mlp().then(|| Mlp::load(source, number)).transpose()?,
            rope: ropes.index(shape.head_dim),
        })
    }

    fn bytes(&self) -> usize {
        self.attention.as_ref().map_or(0, Attention::bytes)
            + self.mlp.as_ref().map_or(0, Mlp::bytes)
    }

    fn forward<O: LayerObserver + ?Sized>(
        &self,
        share: KvShare,
        batch: &mut [SeqRows<'_>],
        rope: Option<&RopeRows>,
        x: &mut [f32],
        scratch: &mut Scratch,
        observer: &mut O,
    ) {
        let rows = batch.iter().map(|seq| seq.rows).sum::<usize>().max(1);
        let mut see = |activation, values: &[f32]| {
            observer.observe(self.number, activation, values, values.len() / rows);
        };
        see(Activation::Input, x);
        if let (Some(attention), Some(rope)) = (&self.attention, rope) {
            attention.project(share, batch, rope, x, scratch);
            see(Activation::AttentionInput, &scratch.normed);
            attention.attend(share, batch, scratch);
            see(Activation::HeadOutputs, &scratch.inner);
            attention.add_output(x, scratch);
        }
        if let Some(mlp) = &self.mlp {
            mlp.activate(x, scratch);
            see(Activation::MlpInput, &scratch.normed);
            see(Activation::Inner, &scratch.inner);
            mlp.add_output(x, scratch);
        }
        see(Activation::Output, x);
    }
}
