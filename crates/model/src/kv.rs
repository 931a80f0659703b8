//! The KV cache of one sequence over one contiguous range of layers.

use crate::kernels::{KV_BLOCK, KvLayout};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Why a cache cannot hold more positions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// The sequence is as long as the cache may grow.
    #[error("a sequence of {wanted} tokens is over the context of {context}; shorten the prompt or ask for fewer tokens")]
    Context {
        /// Positions asked for.
        wanted: usize,
        /// Positions allowed.
        context: usize,
    },
    /// The pool that all sequences share has no memory left.
    #[error("the KV memory of {limit_bytes} bytes is used up; close sessions or raise the limit")]
    Exhausted {
        /// The pool's size.
        limit_bytes: usize,
    },
    /// Rows were addressed beyond the cache's end, which would leave a gap.
    #[error("rows at position {pos} leave a gap after the {len} positions held")]
    Gap {
        /// Position of the first row.
        pos: usize,
        /// Positions held.
        len: usize,
    },
}

/// Memory that many caches draw blocks from, bounded.
#[derive(Debug)]
pub struct KvPool {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
}

impl KvPool {
    /// A pool of at most `limit_bytes`.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self { limit_bytes, used_bytes: AtomicUsize::new(0) })
    }

    /// Bytes held by live caches.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> Result<(), KvError> {
        self.used_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| used.checked_add(bytes).filter(|&sum| sum <= self.limit_bytes))
            .map(drop)
            .map_err(|_| KvError::Exhausted { limit_bytes: self.limit_bytes })
    }

    fn give_back(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Keys and values of positions `0..len`, in blocks of 64 positions that are taken from a [`KvPool`] as the sequence grows and given
/// back when it is truncated.
#[derive(Debug)]
pub struct KvCache {
    pool: Arc<KvPool>,
    layout: KvLayout,
    layers: usize,
    context: usize,
    blocks: Vec<Box<[f32]>>,
    len: usize,
}

impl KvCache {
    pub(crate) fn new(pool: &Arc<KvPool>, layout: KvLayout, layers: usize, context: usize) -> Self {
        Self { pool: Arc::clone(pool), layout, layers, context, blocks: Vec::new(), len: 0 }
    }

    /// Positions held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no position is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Truncates to `pos` and makes room for `rows` more positions; blocks beyond these go back to the pool.
    ///
    /// # Errors
    /// When `pos` is beyond the end, the context is exceeded or the pool is empty; the cache then holds what it held.
    pub fn prepare(&mut self, pos: usize, rows: usize) -> Result<(), KvError> {
        if pos > self.len {
            return Err(KvError::Gap { pos, len: self.len });
        }
        let wanted = pos.saturating_add(rows);
        if wanted > self.context {
            return Err(KvError::Context { wanted, context: self.context });
        }
        while self.blocks.len() < wanted.div_ceil(KV_BLOCK) {
            self.pool.take(self.block_bytes())?;
            self.blocks.push(vec![0.0; self.block_floats()].into_boxed_slice());
        }
        self.len = self.len.min(pos);
        self.release_from(wanted.div_ceil(KV_BLOCK));
        Ok(())
    }

    fn release_from(&mut self, block: usize) {
        let freed = self.blocks.drain(block.min(self.blocks.len())..).count();
        self.pool.give_back(freed * self.block_bytes());
    }

    fn block_floats(&self) -> usize {
        self.layers * self.layout.layer_floats()
    }

    fn block_bytes(&self) -> usize {
        self.block_floats() * size_of::<f32>()
    }

    /// Writes one position of one layer; [`KvCache::prepare`] has made the room.
    pub(crate) fn write(&mut self, layer: usize, pos: usize, key: &[f32], value: &[f32]) {
        let floats = self.layout.layer_floats();
        let share = &mut self.blocks[pos / KV_BLOCK][layer * floats..][..floats];
        self.layout.write(share, pos % KV_BLOCK, key, value);
    }

    /// One layer's shares of all blocks.
    pub(crate) fn layer_blocks(&self, layer: usize) -> Vec<&[f32]> {
        let floats = self.layout.layer_floats();
        self.blocks.iter().map(|block| &block[layer * floats..][..floats]).collect()
    }

    /// Declares positions `0..len` written.
    pub(crate) fn commit(&mut self, len: usize) {
        self.len = len;
    }
}

impl Drop for KvCache {
    fn drop(&mut self) {
        self.release_from(0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cache(pool: &Arc<KvPool>) -> KvCache {
        KvCache::new(pool, KvLayout { kv_heads: 1, head_dim: 2 }, 3, 1000)
    }

    #[test]
    fn memory_is_counted_and_given_back() {
        let pool = KvPool::new(3 * 3 * 2 * 2 * KV_BLOCK * 4);
        let mut first = cache(&pool);
        first.prepare(0, 2 * KV_BLOCK).unwrap();
        first.commit(2 * KV_BLOCK);
        let mut second = cache(&pool);
        second.prepare(0, KV_BLOCK).unwrap();
        assert!(matches!(second.prepare(0, KV_BLOCK + 1), Err(KvError::Exhausted { .. })));
        first.prepare(1, 0).unwrap();
        second.prepare(0, KV_BLOCK + 1).unwrap();
        drop(first);
        drop(second);
        assert_eq!(pool.used_bytes(), 0);
    }

    #[test]
    fn refuses_gaps_and_sequences_over_the_context() {
        let pool = KvPool::new(usize::MAX);
        let mut kv = cache(&pool);
        assert_eq!(kv.prepare(1, 1), Err(KvError::Gap { pos: 1, len: 0 }));
        assert_eq!(kv.prepare(0, 1001), Err(KvError::Context { wanted: 1001, context: 1000 }));
        assert!(kv.prepare(usize::MAX, 2).is_err());
    }
}
