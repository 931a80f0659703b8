//! The device's first part: token ids to shallow rows.

use super::backend::Layers;
use crate::{
    config::ModelConfig,
    error::ModelError,
    formats::names::EMBEDDING,
    kv::{KvCache, KvPool},
    layers::SeqRows,
    source::ModelSource,
};
use std::sync::Arc;
use tricorn_core::Split;

/// The device's first part: embedding and the first layers.
#[derive(Debug)]
pub struct InputPart {
    source: Arc<ModelSource>,
    layers: Layers,
}

impl InputPart {
    /// Reads the first layers; embedding rows are read from the file as they are asked for.
    ///
    /// # Errors
    /// When the split does not fit the model, or a tensor is missing or has the wrong shape.
    pub fn load(source: &Arc<ModelSource>, split: Split) -> Result<Self, ModelError> {
        let config = source.config();
        source.weights().check(EMBEDDING, &[config.vocab, config.hidden])?;
        let range = split.ranges(config.layers)?.input;
        Ok(Self { source: Arc::clone(source), layers: Layers::load(source, range)? })
    }

    /// An empty cache for one sequence of at most `context` positions.
    #[must_use]
    pub fn new_kv(&self, pool: &Arc<KvPool>, context: usize) -> KvCache {
        self.layers.new_kv(pool, context)
    }

    /// The hidden rows of `tokens` at `pos..`, truncating the cache to `pos` first.
    ///
    /// # Errors
    /// When a token is not in the vocabulary, its embedding cannot be read or the cache has no
    /// room.
    pub fn forward_at(
        &self,
        kv: &mut KvCache,
        pos: usize,
        tokens: &[u32],
    ) -> Result<Vec<f32>, ModelError> {
        self.forward_batch(&mut [SeqRows { kv, pos, rows: tokens.len() }], tokens)
    }

    /// The hidden rows of a ragged batch: `tokens` are those of all sequences, one after the other.
    ///
    /// # Errors
    /// When a token is not in the vocabulary, its embedding cannot be read or a cache has no room.
    pub fn forward_batch(
        &self,
        batch: &mut [SeqRows<'_>],
        tokens: &[u32],
    ) -> Result<Vec<f32>, ModelError> {
        let mut x = embed(&self.source, tokens)?;
        self.layers.forward(batch, &mut x)?;
        Ok(x)
    }

    /// Bytes of weights held in memory (the embedding stays in its file).
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.layers.bytes()
    }
}

/// The embeddings of `tokens`: `tokens x hidden`.
///
/// # Errors
/// When a token is not in the vocabulary, or its embedding cannot be read.
pub fn embed(source: &ModelSource, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
    let ModelConfig { vocab, hidden, .. } = *source.config();
    let mut x = Vec::with_capacity(tokens.len() * hidden);
    for &token in tokens {
        source.weights().row(EMBEDDING, [vocab, hidden], token, &mut x)?;
    }
    Ok(x)
}
