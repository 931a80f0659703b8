//! First layers of a conversation: their KV cache, and the rows computed last.

use super::row_window::RowWindow;
use crate::parts::DeviceParts;
use std::ops::Range;
use tricorn_model::{KvCache, KvError, ModelError, SeqRows};

/// Tokens to shallow rows, which are kept as long as they may be sent or drafted from.
#[derive(Debug)]
pub(super) struct FirstLayers<'p> {
    parts: &'p DeviceParts,
    kv: KvCache,
    window: RowWindow,
}

/// Rows computed for a continuation, with the cache that they are in.
#[derive(Debug)]
pub(super) struct BranchRows {
    pub(super) kv: KvCache,
    /// Position of the first row: where the continuation parts from the round.
    pub(super) pos: usize,
    pub(super) tokens: Vec<u32>,
    pub(super) rows: Vec<f32>,
}

impl BranchRows {
    /// The position after the last row.
    pub(super) fn end(&self) -> usize {
        self.pos + self.tokens.len()
    }

    /// The place of the row after the last.
    pub(super) fn next_row(&mut self) -> SeqRows<'_> {
        SeqRows { pos: self.end(), kv: &mut self.kv, rows: 1 }
    }
}

impl<'p> FirstLayers<'p> {
    pub(super) fn new(parts: &'p DeviceParts, context: usize) -> Self {
        let window = RowWindow::new(parts.hidden);
        Self { parts, kv: parts.input.new_kv(&parts.pool, context), window }
    }

    /// The positions of `tokens` at `from..` that have no row yet. Rows before `from` and those of
    /// other tokens are dropped.
    pub(super) fn missing(&mut self, from: usize, tokens: &[u32]) -> Range<usize> {
        from + self.window.reuse(from, tokens)..from + tokens.len()
    }

    /// Computes the rows of `tokens` at `pos..`.
    pub(super) fn compute(&mut self, pos: usize, tokens: &[u32]) -> Result<(), ModelError> {
        let rows = self.parts.shallow(&mut self.kv, pos, tokens)?;
        self.window.put(pos, tokens, &rows);
        Ok(())
    }

    /// The `rows` rows at `pos..`; empty where not all are held.
    pub(super) fn rows(&self, pos: usize, rows: usize) -> &[f32] {
        self.window.rows(pos, rows)
    }

    /// The positions whose rows are held.
    pub(super) fn held(&self) -> Range<usize> {
        self.window.held()
    }

    /// A continuation that parts from the round at `pos`.
    pub(super) fn fork(&self, pos: usize) -> Result<BranchRows, KvError> {
        Ok(BranchRows { kv: self.kv.fork()?, pos, tokens: Vec::new(), rows: Vec::new() })
    }

    /// Goes on with a continuation's cache and rows.
    pub(super) fn adopt(&mut self, BranchRows { kv, pos, tokens, rows }: BranchRows) {
        self.kv = kv;
        self.window.put(pos, &tokens, &rows);
    }
}
