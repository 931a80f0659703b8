//! Middle layers of a model, as a cloud runs them.

use std::{fmt, sync::Arc};

use tricorn_model::{KvCache, KvPool, MiddlePart, ModelError, SeqRows};

/// A model's middle layers. Implement it to serve something else than a [`PooledMiddle`].
pub trait MiddleModel: Send + 'static {
    /// What is remembered of one session.
    type Kv: Send;
    /// What can go wrong; the text reaches the device.
    type Error: fmt::Display;

    /// Values in one hidden row.
    fn hidden(&self) -> usize;

    /// The memory of a new session of at most `context` positions.
    fn new_kv(&self, context: usize) -> Self::Kv;

    /// Truncates `kv` to `pos` and makes room for `rows` more positions.
    ///
    /// # Errors
    /// When there is no memory for them. It ends this session only.
    fn prepare(&self, kv: &mut Self::Kv, pos: usize, rows: usize) -> Result<(), Self::Error>;

    /// Runs the rows of several sessions in place. `x` holds each entry's rows one after the other,
    /// row-major, [`hidden`](Self::hidden) values each; every entry has been
    /// [prepared](Self::prepare).
    ///
    /// A row's result must not depend on what shares the call.
    ///
    /// # Errors
    /// When the batch cannot be computed. It ends the sessions in the batch.
    fn forward(
        &self,
        batch: &mut [BatchEntry<'_, Self::Kv>],
        x: &mut [f32],
    ) -> Result<(), Self::Error>;
}

/// One session's share of a batch.
#[derive(Debug)]
pub struct BatchEntry<'a, Kv> {
    /// The session's memory.
    pub kv: &'a mut Kv,
    /// Position of the first row.
    pub pos: usize,
    /// Number of rows.
    pub rows: usize,
}

/// A model's middle layers, with the memory that all its sessions share.
#[derive(Debug)]
pub struct PooledMiddle {
    part: MiddlePart,
    pool: Arc<KvPool>,
}

impl PooledMiddle {
    /// Serves `part` with KV caches out of `pool`.
    #[must_use]
    pub fn new(part: MiddlePart, pool: Arc<KvPool>) -> Self {
        Self { part, pool }
    }
}

impl MiddleModel for PooledMiddle {
    type Kv = KvCache;
    type Error = ModelError;

    fn hidden(&self) -> usize {
        self.part.hidden()
    }

    fn new_kv(&self, context: usize) -> KvCache {
        self.part.new_kv(&self.pool, context)
    }

    fn prepare(&self, kv: &mut KvCache, pos: usize, rows: usize) -> Result<(), ModelError> {
        Ok(kv.prepare(pos, rows)?)
    }

    fn forward(
        &self,
        batch: &mut [BatchEntry<'_, KvCache>],
        x: &mut [f32],
    ) -> Result<(), ModelError> {
        let mut sequences: Vec<SeqRows<'_>> = batch
            .iter_mut()
            .map(|entry| SeqRows { kv: entry.kv, pos: entry.pos, rows: entry.rows })
            .collect();
        self.part.forward(&mut sequences, x)
    }
}
