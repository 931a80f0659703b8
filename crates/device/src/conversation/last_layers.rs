//! Last layers and head of a conversation, with their KV cache.

use crate::parts::DeviceParts;
use tricorn_model::{KvCache, ModelError};

/// Deep rows to logits.
#[derive(Debug)]
pub(super) struct LastLayers<'p> {
    parts: &'p DeviceParts,
    kv: KvCache,
}

impl<'p> LastLayers<'p> {
    pub(super) fn new(parts: &'p DeviceParts, context: usize) -> Self {
        Self { parts, kv: parts.output.new_kv(&parts.pool, context) }
    }

    /// Takes `rows` at `pos..` through the layers, in place.
    pub(super) fn extend(&mut self, pos: usize, rows: &mut [f32]) -> Result<(), ModelError> {
        self.parts.output.forward_at(&mut self.kv, pos, rows)
    }

    /// The head's logits of rows that went through the layers.
    pub(super) fn logits(&self, rows: &[f32]) -> Result<Vec<f32>, ModelError> {
        self.parts.output.logits(rows)
    }

    /// Values in a hidden row.
    pub(super) fn hidden(&self) -> usize {
        self.parts.hidden
    }

    /// Logits in a row.
    pub(super) fn vocab(&self) -> usize {
        self.parts.output.vocab()
    }
}
