//! The cloud's part: shallow rows to deep rows.

use super::backend::Layers;
use crate::{
    error::ModelError,
    kv::{KvCache, KvPool},
    layers::{LayerObserver, SeqRows},
    source::ModelSource,
};
use std::{ops::Range, sync::Arc};
use tricorn_core::Split;

/// The cloud's part: the layers in the middle.
#[derive(Debug)]
pub struct MiddlePart {
    layers: Layers,
    hidden: usize,
}

impl MiddlePart {
    /// Reads the middle layers and nothing else.
    ///
    /// # Errors
    /// When the split does not fit the model, or a tensor is missing or has the wrong shape.
    pub fn load(source: &ModelSource, split: Split) -> Result<Self, ModelError> {
        let middle = split.ranges(source.config().layers)?.middle;
        Self::load_layers(source, split, middle)
    }

    /// Reads some of the middle layers, numbered as in the whole model: one stage of a middle that
    /// runs in several places.
    ///
    /// # Errors
    /// As [`load`](Self::load), and when `held` is not a part of the middle.
    pub fn load_layers(
        source: &ModelSource,
        split: Split,
        held: Range<usize>,
    ) -> Result<Self, ModelError> {
        let config = source.config();
        split.middle_around(config.layers, &held)?;
        Ok(Self { layers: Layers::load(source, held)?, hidden: config.hidden })
    }

    /// Width of a hidden row.
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// An empty cache for one sequence of at most `context` positions.
    #[must_use]
    pub fn new_kv(&self, pool: &Arc<KvPool>, context: usize) -> KvCache {
        self.layers.new_kv(pool, context)
    }

    /// Runs a ragged batch in place: `x` holds the rows of all sequences one after the other.
    ///
    /// # Errors
    /// When a cache has no room or an accelerator fails. To keep one sequence's trouble from the
    /// others, call [`KvCache::prepare`] on each of them beforehand.
    pub fn forward(&self, batch: &mut [SeqRows<'_>], x: &mut [f32]) -> Result<(), ModelError> {
        self.layers.forward(batch, x)
    }

    /// As [`forward`](Self::forward), and shows `observer` the layers' activations. The results are
    /// the same to the bit.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and when an accelerator computes.
    pub fn forward_observed(
        &self,
        batch: &mut [SeqRows<'_>],
        x: &mut [f32],
        observer: &mut dyn LayerObserver,
    ) -> Result<(), ModelError> {
        self.layers.forward_observed(batch, x, observer)
    }

    /// Bytes of weights held in memory, or in the accelerator's.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.layers.bytes()
    }
}
