//! The keys and values of one sequence, in the accelerator's memory.

use crate::{
    compute_device::accelerator::{Accelerator, one_line},
    error::KvError,
    kv::pool::KvPool,
};
use candle_core::{DType, Result, Tensor};
use std::sync::Arc;
use tricorn_kernels::{BlockLayout, KvFormat, KvLayout};

/// Positions by which a buffer grows at least.
const STEP: usize = 64;

/// Keys and values of one sequence in one buffer a layer, since candle's matrix product reads one:
/// it is replaced by a larger one as the sequence grows. Forks share it until one of them writes.
#[derive(Clone, Debug)]
pub(crate) struct Kv {
    accelerator: Accelerator,
    layout: Arc<BlockLayout>,
    format: KvFormat,
    buffer: Option<Arc<Buffer>>,
}

#[derive(Debug)]
struct Buffer {
    /// Keys and values of each layer: `kv heads x capacity x head_dim`.
    layers: Vec<(Tensor, Tensor)>,
    capacity: usize,
    _memory: Memory,
}

/// Bytes of a pool, given back on drop.
#[derive(Debug)]
struct Memory {
    pool: Arc<KvPool>,
    bytes: usize,
}

impl Memory {
    fn take(pool: &Arc<KvPool>, bytes: usize) -> std::result::Result<Self, KvError> {
        pool.take(bytes)?;
        Ok(Self { pool: Arc::clone(pool), bytes })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.pool.give_back(self.bytes);
    }
}

impl Kv {
    pub(crate) fn new(
        accelerator: &Accelerator,
        layout: &Arc<BlockLayout>,
        format: KvFormat,
    ) -> Self {
        let (accelerator, layout) = (accelerator.clone(), Arc::clone(layout));
        Self { accelerator, layout, format, buffer: None }
    }

    /// Makes room for `wanted` positions, at most `context`, of which the first `kept` hold what
    /// they held.
    ///
    /// # Errors
    /// When the pool or the accelerator has no memory for them, or the pool's format is not for
    /// accelerators; nothing is changed then.
    pub(crate) fn prepare(
        &mut self,
        pool: &Arc<KvPool>,
        kept: usize,
        wanted: usize,
        context: usize,
    ) -> std::result::Result<(), KvError> {
        if self.format == KvFormat::Q8 {
            return Err(KvError::DeviceFormat { format: self.format });
        }
        if wanted == 0 {
            self.buffer = None;
            return Ok(());
        }
        let fits = self.buffer.as_ref().is_some_and(|buffer| {
            wanted <= buffer.capacity && (wanted == kept || Arc::strong_count(buffer) == 1)
        });
        if fits {
            return Ok(());
        }
        // Growing by half keeps the copies, over a sequence's life, to about twice its length.
        let held = self.buffer.as_ref().map_or(0, |buffer| buffer.capacity);
        let generous = if wanted > held { wanted.max(held + held / 2) } else { wanted };
        let [generous, exact] =
            [generous, wanted].map(|positions| positions.next_multiple_of(STEP).min(context));
        let take = |capacity| Ok((capacity, Memory::take(pool, self.bytes(capacity))?));
        let (capacity, _memory) = take(generous).or_else(|_: KvError| take(exact))?;
        let layers = self
            .copied(kept, capacity)
            .map_err(|error| KvError::Device { problem: one_line(&error) })?;
        self.buffer = Some(Arc::new(Buffer { layers, capacity, _memory }));
        Ok(())
    }

    fn bytes(&self, positions: usize) -> usize {
        positions * self.format.bytes_per_token(self.layout.layers())
    }

    /// New tensors of `capacity` positions whose first `kept` are the present ones.
    fn copied(&self, kept: usize, capacity: usize) -> Result<Vec<(Tensor, Tensor)>> {
        let copy = |layout: KvLayout, old: Option<&Tensor>| -> Result<Tensor> {
            let KvLayout { kv_heads, head_dim } = layout;
            let new = Tensor::zeros(
                (kv_heads, capacity, head_dim),
                self.dtype(),
                self.accelerator.candle(),
            )?;
            if let Some(old) = old.filter(|_| kept > 0 && kv_heads > 0) {
                new.slice_set(&old.narrow(1, 0, kept)?.contiguous()?, 1, 0)?;
            }
            Ok(new)
        };
        let old = self.buffer.as_ref().map(|buffer| &buffer.layers);
        let layers = self.layout.layers().enumerate().map(|(layer, layout)| {
            let old = old.and_then(|layers| layers.get(layer));
            let keys = copy(layout, old.map(|(keys, _)| keys))?;
            Ok((keys, copy(layout, old.map(|(_, values)| values))?))
        });
        layers.collect()
    }

    /// Format of keys and values.
    pub(crate) fn dtype(&self) -> DType {
        match self.format {
            KvFormat::F16 | KvFormat::Q8 => DType::F16,
            KvFormat::F32 => DType::F32,
        }
    }

    /// Writes keys and values of `pos..`, `kv heads x rows x head_dim` each; [`Kv::prepare`] has
    /// made the room.
    pub(crate) fn write(
        &self,
        layer: usize,
        pos: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<()> {
        let (held_keys, held_values) = self.layer(layer)?;
        held_keys.slice_set(keys, 1, pos)?;
        held_values.slice_set(values, 1, pos)
    }

    /// Keys and values of one layer: `kv heads x capacity x head_dim`.
    pub(crate) fn layer(&self, layer: usize) -> Result<&(Tensor, Tensor)> {
        match self.buffer.as_ref().and_then(|buffer| buffer.layers.get(layer)) {
            Some(layer) => Ok(layer),
            None => candle_core::bail!("the cache has no room for layer {layer}"),
        }
    }
}
