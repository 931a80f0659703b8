//! Decoder layers: run a contiguous range of them on a ragged batch.

pub(crate) mod attention;
pub(crate) mod batch;
pub(crate) mod mlp;
pub(crate) mod rope;
pub(crate) mod scratch;
pub(crate) mod tensors;

pub use batch::SeqRows;

use crate::{
    error::ModelError,
    kv::{KvCache, KvError, KvPool},
    source::ModelSource,
};
use attention::Attention;
use batch::{commit, prepare};
use mlp::Mlp;
use rayon::prelude::*;
use rope::RopeTable;
use scratch::Scratch;
use std::{ops::Range, sync::Arc};
use tricorn_kernels::KvLayout;

/// A contiguous range of decoder layers.
#[derive(Debug)]
pub(crate) struct Layers {
    layers: Vec<(Attention, Mlp)>,
    rope: RopeTable,
    layout: KvLayout,
    hidden: usize,
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
