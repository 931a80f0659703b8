//! The KV cache of one sequence over one contiguous range of layers.

#[cfg_attr(not(feature = "candle"), path = "kv/absent.rs")]
pub(crate) mod accelerated;
pub(crate) mod pool;

pub use crate::error::KvError;
pub use pool::KvPool;

use accelerated::Kv;
use std::sync::Arc;
use tricorn_kernels::{BlockLayout, KV_BLOCK, KvData, KvShare};

/// The keys and values of 64 positions in all layers, and the memory they hold of a pool.
#[derive(Debug)]
struct Block {
    data: KvData,
    pool: Arc<KvPool>,
}

impl Block {
    fn new(pool: &Arc<KvPool>, layout: &BlockLayout) -> Result<Self, KvError> {
        pool.take(KV_BLOCK * pool.format().bytes_per_token(layout.layers()))?;
        Ok(Self { data: KvData::zeroed(pool.format(), layout), pool: Arc::clone(pool) })
    }

    fn copy(&self) -> Result<Self, KvError> {
        self.pool.take(self.data.bytes())?;
        Ok(Self { data: self.data.clone(), pool: Arc::clone(&self.pool) })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.pool.give_back(self.data.bytes());
    }
}

/// Keys and values of positions `0..len`, in blocks of 64 positions that are taken from a
/// [`KvPool`] as the sequence grows and given back when it is truncated. Forks share blocks until
/// one of them writes.
#[derive(Debug)]
pub struct KvCache {
    pool: Arc<KvPool>,
    layout: Arc<BlockLayout>,
    context: usize,
    blocks: Vec<Arc<Block>>,
    /// In place of blocks, where an accelerator computes.
    accelerated: Option<Kv>,
    len: usize,
}

impl KvCache {
    pub(crate) fn new(pool: &Arc<KvPool>, layout: &Arc<BlockLayout>, context: usize) -> Self {
        Self {
            pool: Arc::clone(pool),
            layout: Arc::clone(layout),
            context,
            blocks: Vec::new(),
            accelerated: None,
            len: 0,
        }
    }

    /// A cache for layers on an accelerator, in its memory; the pool counts its bytes like those of
    /// any other.
    #[cfg(feature = "candle")]
    pub(crate) fn accelerated(
        kv: Kv,
        layout: &Arc<BlockLayout>,
        pool: &Arc<KvPool>,
        context: usize,
    ) -> Self {
        Self { accelerated: Some(kv), ..Self::new(pool, layout, context) }
    }

    /// Where the keys and values are when they are not in blocks of host memory.
    #[cfg(feature = "candle")]
    pub(crate) fn on_accelerator(&self) -> Option<&Kv> {
        self.accelerated.as_ref()
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

    /// A cache with the same positions that goes its own way: full blocks are shared until either
    /// side writes to them, a block that is not full is copied at once, for that is where the next
    /// row goes. An accelerator's is shared as a whole.
    ///
    /// # Errors
    /// When the pool has no room for that copy.
    pub fn fork(&self) -> Result<Self, KvError> {
        let mut fork = Self {
            accelerated: self.accelerated.clone(),
            len: self.len,
            ..Self::new(&self.pool, &self.layout, self.context)
        };
        if self.accelerated.is_none() {
            let full = self.len / KV_BLOCK;
            fork.blocks.extend_from_slice(&self.blocks[..full]);
            if self.len > full * KV_BLOCK {
                fork.blocks.push(Arc::new(self.blocks[full].copy()?));
            }
        }
        Ok(fork)
    }

    /// Truncates to `pos` and makes room for `rows` more positions; blocks beyond these go back to
    /// the pool.
    ///
    /// # Errors
    /// When `pos` is beyond the end, the context is exceeded or the pool is empty; the cache then
    /// holds what it held.
    pub fn prepare(&mut self, pos: usize, rows: usize) -> Result<(), KvError> {
        if pos > self.len {
            return Err(KvError::Gap { pos, len: self.len });
        }
        let wanted = pos.saturating_add(rows);
        if wanted > self.context {
            return Err(KvError::Context { wanted, context: self.context });
        }
        if let Some(kv) = &mut self.accelerated {
            kv.prepare(&self.pool, pos, wanted, self.context)?;
            self.len = self.len.min(pos);
            return Ok(());
        }
        let needed = wanted.div_ceil(KV_BLOCK);
        if rows > 0 {
            for block in self.blocks.iter_mut().take(needed).skip(pos / KV_BLOCK) {
                if Arc::get_mut(block).is_none() {
                    *block = Arc::new(block.copy()?);
                }
            }
        }
        while self.blocks.len() < needed {
            self.blocks.push(Arc::new(Block::new(&self.pool, &self.layout)?));
        }
        self.len = self.len.min(pos);
        self.blocks.truncate(needed);
        Ok(())
    }

    /// Writes one position of one layer; [`KvCache::prepare`] has made the room.
    pub(crate) fn write(&mut self, share: KvShare, pos: usize, key: &[f32], value: &[f32]) {
        let block = Arc::get_mut(&mut self.blocks[pos / KV_BLOCK]);
        debug_assert!(block.is_some(), "prepare leaves no block shared that is written to");
        if let Some(block) = block {
            block.data.write(share, pos % KV_BLOCK, key, value);
        }
    }

    /// The numbers of all blocks.
    pub(crate) fn blocks(&self) -> Vec<&KvData> {
        self.blocks.iter().map(|block| &block.data).collect()
    }

    /// Declares positions `0..len` written.
    pub(crate) fn commit(&mut self, len: usize) {
        self.len = len;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tricorn_kernels::{KvHead, KvLayout};

    /// Keys and values of one head, two dimensions, three layers, 16 bit.
    const BLOCK_BYTES: usize = 2 * 2 * 3 * 2 * KV_BLOCK;

    fn cache(pool: &Arc<KvPool>) -> KvCache {
        let layer = KvLayout { kv_heads: 1, head_dim: 2 };
        KvCache::new(pool, &Arc::new(BlockLayout::new([layer; 3])), 1000)
    }

    #[test]
    fn memory_is_counted_and_given_back() {
        let pool = KvPool::new(3 * BLOCK_BYTES);
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

    /// Writes `value` as every element of the keys and values at `pos`.
    fn put(kv: &mut KvCache, pos: usize, value: f32) {
        kv.prepare(pos, 1).unwrap();
        for layer in 0..3 {
            kv.write(kv.layout.share(layer), pos, &[value; 2], &[value; 2]);
        }
        kv.commit(pos + 1);
    }

    fn at(kv: &KvCache, pos: usize) -> f32 {
        let [keys, _] = kv.blocks()[pos / KV_BLOCK].head(kv.layout.share(2), 0);
        let KvHead::F16(keys) = keys else { panic!("the pool keeps {}", kv.pool.format()) };
        keys[pos % KV_BLOCK].to_f32()
    }

    #[test]
    fn a_fork_and_its_origin_do_not_see_each_others_writes() {
        let pool = KvPool::new(usize::MAX);
        let block = BLOCK_BYTES;
        let mut origin = cache(&pool);
        (0..2 * KV_BLOCK + 3).for_each(|pos| put(&mut origin, pos, pos as f32));
        assert_eq!(pool.used_bytes(), 3 * block);
        let mut fork = origin.fork().unwrap();
        assert_eq!(
            (fork.len(), pool.used_bytes()),
            (origin.len(), 4 * block),
            "full blocks are shared"
        );

        put(&mut fork, 2 * KV_BLOCK + 1, -1.0);
        put(&mut origin, 2 * KV_BLOCK + 3, -2.0);
        assert_eq!(
            (at(&fork, 2 * KV_BLOCK + 1), at(&origin, 2 * KV_BLOCK + 1)),
            (-1.0, 2.0 * KV_BLOCK as f32 + 1.0)
        );
        assert_eq!(
            (fork.len(), origin.len(), pool.used_bytes()),
            (2 * KV_BLOCK + 2, 2 * KV_BLOCK + 4, 4 * block)
        );

        // The origin goes back into a shared block: it gets its own, and the fork keeps what it
        // had.
        put(&mut origin, 5, -3.0);
        assert_eq!((at(&origin, 5), at(&fork, 5), at(&fork, 6)), (-3.0, 5.0, 6.0));
        assert_eq!(
            pool.used_bytes(),
            4 * block,
            "the origin gave its last two blocks back, one of them shared, and took one"
        );
        drop(fork);
        assert_eq!((at(&origin, 4), pool.used_bytes()), (4.0, block));
        drop(origin);
        assert_eq!(pool.used_bytes(), 0);
    }

    #[test]
    fn a_copy_that_the_pool_has_no_room_for_changes_nothing() {
        let pool = KvPool::new(2 * BLOCK_BYTES);
        let mut origin = cache(&pool);
        (0..KV_BLOCK + 1).for_each(|pos| put(&mut origin, pos, 1.0));
        assert!(matches!(origin.fork(), Err(KvError::Exhausted { .. })));
        origin.prepare(KV_BLOCK, 0).unwrap();
        let mut fork = origin.fork().unwrap();
        let _full = {
            let mut other = cache(&pool);
            other.prepare(0, 1).unwrap();
            other
        };
        assert!(matches!(fork.prepare(3, 1), Err(KvError::Exhausted { .. })));
        assert_eq!((fork.len(), at(&fork, 3)), (KV_BLOCK, 1.0));
    }
}
