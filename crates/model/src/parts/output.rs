//! The device's last part: deep rows to logits.

use super::backend::{Head, Layers};
use crate::{
    error::ModelError,
    formats::names::{NORM, head_name},
    kv::{KvCache, KvPool},
    layers::SeqRows,
    source::ModelSource,
    weights::StoredTensor,
};
use std::sync::Arc;
use tricorn_core::Split;
use tricorn_kernels::rows::rms_norm;

/// The device's last part: the last layers, the final norm and the language-model head.
#[derive(Debug)]
pub struct OutputPart {
    layers: Layers,
    norm: Vec<f32>,
    norm_eps: f32,
    head: Head,
    hidden: usize,
}

impl OutputPart {
    /// Reads the last layers, the final norm and the head (the embedding's table where the two are
    /// tied).
    ///
    /// # Errors
    /// When the split does not fit the model, or a tensor is missing or has the wrong shape.
    pub fn load(source: &ModelSource, split: Split) -> Result<Self, ModelError> {
        let (config, weights) = (source.config(), source.weights());
        let range = split.ranges(config.layers)?.output;
        Ok(Self {
            layers: Layers::load(source, range)?,
            norm: weights.f32(NORM, &[config.hidden])?,
            norm_eps: config.norm_eps,
            head: Head::load(source)?,
            hidden: config.hidden,
        })
    }

    /// An empty cache for one sequence of at most `context` positions.
    #[must_use]
    pub fn new_kv(&self, pool: &Arc<KvPool>, context: usize) -> KvCache {
        self.layers.new_kv(pool, context)
    }

    /// Runs the last layers in place on deep rows at `pos..`, truncating the cache to `pos` first.
    ///
    /// # Errors
    /// When the cache has no room or an accelerator fails.
    pub fn forward_at(
        &self,
        kv: &mut KvCache,
        pos: usize,
        x: &mut [f32],
    ) -> Result<(), ModelError> {
        let rows = x.len() / self.hidden;
        self.layers.forward(&mut [SeqRows { kv, pos, rows }], x)
    }

    /// The final norm of the last layer's rows.
    #[must_use]
    pub fn normed(&self, x: &[f32]) -> Vec<f32> {
        let mut normed = vec![0.0; x.len()];
        rms_norm(x, &self.norm, self.norm_eps, &mut normed);
        normed
    }

    /// Logits of the last layer's rows: `rows x vocab`.
    ///
    /// # Errors
    /// When an accelerator fails.
    pub fn logits(&self, x: &[f32]) -> Result<Vec<f32>, ModelError> {
        match &self.head {
            Head::Cpu(linear) => Ok(linear.apply(&self.normed(x))),
            Head::Accelerator(head) => head.logits(x),
        }
    }

    /// Size of the vocabulary.
    #[must_use]
    pub fn vocab(&self) -> usize {
        self.head.vocab()
    }

    /// Width of a hidden row.
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Bytes of weights held in memory, or in the accelerator's.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.layers.bytes() + self.head.bytes() + self.norm.len() * 4
    }
}

/// The head's table, `vocab x hidden`.
///
/// # Errors
/// When it is missing, has the wrong shape or cannot be read.
pub fn head_table(source: &ModelSource) -> Result<StoredTensor<'_>, ModelError> {
    let config = source.config();
    if source.is_packed() && !config.tied {
        return Err(ModelError::Unsupported {
            what: "learning from packed weights".to_owned(),
            mend: "give the model that they were packed from",
        });
    }
    source.weights().raw(head_name(config.tied), &[config.vocab, config.hidden])
}
