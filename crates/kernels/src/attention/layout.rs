//! Layout of keys and values in a block of a KV cache.

use super::format::KvFormat;
use crate::simd::half::to_f16;
use half::f16;

/// Positions in one block of a KV cache.
pub const KV_BLOCK: usize = 64;

/// The key-value heads of one layer.
///
/// A layer's share of a block is its keys, `[kv_head][dim][position]`, so that the scores of
/// sixteen positions are sixteen independent chains over the dimensions; then its values,
/// `[kv_head][position][dim]`, so that an output element is one chain over the positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    /// Key-value heads.
    pub kv_heads: usize,
    /// Numbers of a head's key, and of its value.
    pub head_dim: usize,
}

impl KvLayout {
    /// Numbers of all heads' keys, or values, in a layer's share.
    fn half(self) -> usize {
        self.kv_heads * self.head_dim * KV_BLOCK
    }

    /// Scales of all heads' keys, or values, in a layer's share: `[kv_head][position]` each, the
    /// keys' first.
    fn half_scales(self) -> usize {
        self.kv_heads * KV_BLOCK
    }
}

/// One layer's share of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShare {
    /// The layer's key-value heads.
    pub layout: KvLayout,
    /// Where its numbers begin among the block's.
    numbers: usize,
    /// Where its scales begin among the block's.
    scales: usize,
}

/// Layout of a whole block: the shares of all layers, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockLayout {
    shares: Vec<KvShare>,
    /// Numbers of all shares.
    numbers: usize,
    /// Scales of all shares.
    scales: usize,
}

impl BlockLayout {
    /// The layout of a block over these layers, which may differ; a layer without key-value heads
    /// has an empty share.
    pub fn new(layers: impl IntoIterator<Item = KvLayout>) -> Self {
        let (mut numbers, mut scales) = (0, 0);
        let shares = layers.into_iter().map(|layout| {
            let share = KvShare { layout, numbers, scales };
            numbers += 2 * layout.half();
            scales += 2 * layout.half_scales();
            share
        });
        Self { shares: shares.collect(), numbers, scales }
    }

    /// The share of a layer, counted from the cache's first one.
    ///
    /// # Panics
    /// When there are not so many layers.
    #[must_use]
    pub fn share(&self, layer: usize) -> KvShare {
        self.shares[layer]
    }

    /// The layers' key-value heads, in order.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = KvLayout> {
        self.shares.iter().map(|share| share.layout)
    }
}

/// The numbers of one block, all layers one after the other.
#[derive(Clone, Debug)]
pub enum KvData {
    /// [`KvFormat::F32`].
    F32(Box<[f32]>),
    /// [`KvFormat::F16`].
    F16(Box<[f16]>),
    /// [`KvFormat::Q8`].
    Q8 {
        /// The numbers, in steps of their scales.
        numbers: Box<[i8]>,
        /// The scales: `[keys, values][kv_head][position]` of each layer.
        scales: Box<[f32]>,
    },
}

/// One head's keys or values in one block; scales are those of its 64 positions.
#[derive(Clone, Copy, Debug)]
pub enum KvHead<'a> {
    /// Of [`KvData::F32`].
    F32(&'a [f32]),
    /// Of [`KvData::F16`].
    F16(&'a [f16]),
    /// Of [`KvData::Q8`].
    Q8 {
        /// The numbers, in steps of their position's scale.
        numbers: &'a [i8],
        /// One scale a position.
        scales: &'a [f32; KV_BLOCK],
    },
}

impl KvData {
    /// A block of zeros.
    pub fn zeroed(format: KvFormat, layout: &BlockLayout) -> Self {
        let BlockLayout { numbers, scales, .. } = *layout;
        match format {
            KvFormat::F32 => Self::F32(vec![0.0; numbers].into()),
            KvFormat::F16 => Self::F16(vec![f16::ZERO; numbers].into()),
            KvFormat::Q8 => {
                Self::Q8 { numbers: vec![0; numbers].into(), scales: vec![0.0; scales].into() }
            }
        }
    }

    /// Bytes of all numbers and scales.
    pub fn bytes(&self) -> usize {
        match self {
            Self::F32(numbers) => size_of_val(&**numbers),
            Self::F16(numbers) => size_of_val(&**numbers),
            Self::Q8 { numbers, scales } => size_of_val(&**numbers) + size_of_val(&**scales),
        }
    }

    /// Writes one position's key and value (both `kv_heads * head_dim`, rope applied) into a
    /// layer's share. A layer without key-value heads has nothing to write.
    pub fn write(&mut self, share: KvShare, slot: usize, key: &[f32], value: &[f32]) {
        let KvShare { layout, numbers: first, scales: first_scale } = share;
        let (dim, half) = (layout.head_dim, layout.half());
        if half == 0 {
            return;
        }
        match self {
            Self::F32(numbers) => {
                let (keys, values) = numbers[first..][..2 * half].split_at_mut(half);
                scatter(key, keys, slot);
                for (value, values) in
                    value.chunks_exact(dim).zip(values.chunks_exact_mut(KV_BLOCK * dim))
                {
                    values[slot * dim..][..dim].copy_from_slice(value);
                }
            }
            Self::F16(numbers) => {
                let (keys, values) = numbers[first..][..2 * half].split_at_mut(half);
                let mut halves = [f16::ZERO; 64];
                for (key, keys) in key.chunks(64).zip(keys.chunks_mut(64 * KV_BLOCK)) {
                    let halves = &mut halves[..key.len()];
                    to_f16(key, halves);
                    scatter(halves, keys, slot);
                }
                for (value, values) in
                    value.chunks_exact(dim).zip(values.chunks_exact_mut(KV_BLOCK * dim))
                {
                    to_f16(value, &mut values[slot * dim..][..dim]);
                }
            }
            Self::Q8 { numbers, scales } => {
                let (keys, values) = numbers[first..][..2 * half].split_at_mut(half);
                let half_scales = layout.half_scales();
                let (key_scales, value_scales) =
                    scales[first_scale..][..2 * half_scales].split_at_mut(half_scales);
                let heads = key.chunks_exact(dim).zip(keys.chunks_exact_mut(KV_BLOCK * dim));
                for ((key, keys), scales) in heads.zip(key_scales.chunks_exact_mut(KV_BLOCK)) {
                    let (scale, inverse) = steps(key);
                    scales[slot] = scale;
                    for (&k, keys) in key.iter().zip(keys.chunks_exact_mut(KV_BLOCK)) {
                        keys[slot] = quantise(k, inverse);
                    }
                }
                let heads = value.chunks_exact(dim).zip(values.chunks_exact_mut(KV_BLOCK * dim));
                for ((value, values), scales) in heads.zip(value_scales.chunks_exact_mut(KV_BLOCK))
                {
                    let (scale, inverse) = steps(value);
                    scales[slot] = scale;
                    for (&v, to) in value.iter().zip(&mut values[slot * dim..][..dim]) {
                        *to = quantise(v, inverse);
                    }
                }
            }
        }
    }

    /// One head's keys (`[dim][position]`) and values (`[position][dim]`) in a layer's share.
    pub fn head(&self, share: KvShare, kv_head: usize) -> [KvHead<'_>; 2] {
        let layout = share.layout;
        // Keys and values are two halves of `kv_heads` heads each.
        [0, 1].map(|half| {
            let head = half * layout.kv_heads + kv_head;
            let size = layout.head_dim * KV_BLOCK;
            let at = share.numbers + head * size;
            match self {
                Self::F32(numbers) => KvHead::F32(&numbers[at..][..size]),
                Self::F16(numbers) => KvHead::F16(&numbers[at..][..size]),
                Self::Q8 { numbers, scales } => KvHead::Q8 {
                    numbers: &numbers[at..][..size],
                    scales: &scales.as_chunks().0[share.scales / KV_BLOCK + head],
                },
            }
        })
    }
}

/// Writes a position's numbers, one for each dimension, to its slot.
fn scatter<T: Copy>(numbers: &[T], to: &mut [T], slot: usize) {
    for (&number, to) in numbers.iter().zip(to.chunks_exact_mut(KV_BLOCK)) {
        to[slot] = number;
    }
}

/// The step in which numbers up to the largest of these are counted to 127, and its inverse. A NaN
/// makes the step NaN, so that it is not hidden by the rounding.
fn steps(numbers: &[f32]) -> (f32, f32) {
    // Magnitudes are in the order of their bits, with what is not a number above all others.
    let most = f32::from_bits(numbers.iter().map(|v| v.abs().to_bits()).max().unwrap_or(0));
    if most == 0.0 { (0.0, 0.0) } else { (most / 127.0, 127.0 / most) }
}

/// The nearest number of steps, ties to even: adding 1.5 * 2^23 leaves it in the sum's low bits.
fn quantise(number: f32, inverse: f32) -> i8 {
    (number * inverse + 12_582_912.0).to_bits() as i8
}
