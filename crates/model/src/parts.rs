//! The three parts of a split model. Positions and rows are in tokens; hidden rows are `hidden` f32
//! values each.

use crate::{
    backend::{Head, Layers},
    config::ModelConfig,
    error::ModelError,
    kv::{KvCache, KvPool},
    layer::{SeqRows, Stack},
    source::ModelSource,
    weights::StoredTensor,
};
use std::{ops::Range, sync::Arc};
use tricorn_core::Split;
use tricorn_kernels::rows::rms_norm;

/// The device's first part: embedding and the first layers.
#[derive(Debug)]
pub struct InputPart {
    source: Arc<ModelSource>,
    layers: Layers,
}

/// The cloud's part: the layers in the middle.
#[derive(Debug)]
pub struct MiddlePart {
    layers: Layers,
    hidden: usize,
}

/// The device's last part: the last layers, the final norm and the language-model head.
#[derive(Debug)]
pub struct OutputPart {
    layers: Layers,
    norm: Vec<f32>,
    norm_eps: f32,
    head: Head,
    hidden: usize,
}

pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(crate) const NORM: &str = "model.norm.weight";

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
        let mut x = self.embed(tokens)?;
        self.layers.forward(batch, &mut x)?;
        Ok(x)
    }

    /// The embeddings of `tokens`.
    fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        let ModelConfig { vocab, hidden, .. } = *self.source.config();
        let mut x = Vec::with_capacity(tokens.len() * hidden);
        for &token in tokens {
            self.source.weights().row(EMBEDDING, [vocab, hidden], token, &mut x)?;
        }
        Ok(x)
    }

    /// Bytes of weights held in memory (the embedding stays in its file).
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.layers.bytes()
    }
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

    /// Bytes of weights held in memory, or in the accelerator's.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.layers.bytes()
    }
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
    source.weights().raw(head_name(config), &[config.vocab, config.hidden])
}

/// The head as a dense layer.
pub(crate) fn head_stack(config: &ModelConfig) -> Stack {
    Stack {
        parts: vec![(head_name(config).to_owned(), config.vocab)],
        inputs: config.hidden,
        bias: None,
    }
}

pub(crate) fn head_name(config: &ModelConfig) -> &'static str {
    // Checkpoints of tied models may carry a copy under the head's own name; transformers ignores
    // it, and so must we.
    if config.tied { EMBEDDING } else { "lm_head.weight" }
}
