//! Ragged batches: the rows of several sequences in one call.

use crate::kv::{KvCache, KvError};

/// One sequence's share of a ragged batch: `rows` rows at positions `pos..pos + rows`.
#[derive(Debug)]
pub struct SeqRows<'a> {
    /// The sequence's cache over the layers that run; truncated to `pos` first.
    pub kv: &'a mut KvCache,
    /// Position of the first row.
    pub pos: usize,
    /// Number of rows.
    pub rows: usize,
}

/// Makes room for every sequence of a batch.
pub(crate) fn prepare(batch: &mut [SeqRows<'_>]) -> Result<(), KvError> {
    batch.iter_mut().try_for_each(|seq| seq.kv.prepare(seq.pos, seq.rows))
}

/// Declares every row of a batch written.
pub(crate) fn commit(batch: &mut [SeqRows<'_>]) {
    batch.iter_mut().for_each(|seq| seq.kv.commit(seq.pos + seq.rows));
}
