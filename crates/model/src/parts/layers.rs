//! Decoder layers on their own, without embedding or head: what calibration runs, a layer or more
//! at a time.

use super::backend::Layers;
use crate::{
    error::ModelError,
    kv::{KvCache, KvPool},
    layers::{LayerObserver, SeqRows},
    source::ModelSource,
};
use std::{ops::Range, sync::Arc};

/// Any contiguous range of a model's layers.
#[derive(Debug)]
pub struct DecoderLayers {
    layers: Layers,
    hidden: usize,
}

impl DecoderLayers {
    /// Reads the layers of `range`, numbered as in the whole model, and nothing else.
    ///
    /// # Errors
    /// When the model does not have these layers, or a tensor is missing or has the wrong shape.
    pub fn load(source: &ModelSource, range: Range<usize>) -> Result<Self, ModelError> {
        let config = source.config();
        if range.start > range.end || range.end > config.layers {
            return Err(ModelError::LayerShape {
                field: "num_hidden_layers".to_owned(),
                problem: format!("is {}; layers {range:?} were asked for", config.layers),
            });
        }
        Ok(Self { layers: Layers::load(source, range)?, hidden: config.hidden })
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

    /// Runs a ragged batch in place: `x` holds the rows of all sequences one after the other
    /// (`rows x hidden`).
    ///
    /// # Errors
    /// When a cache has no room or an accelerator fails.
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
