//! Quantised panels to plain bytes, some blocks at a time.

use super::{BLOCK, CHUNK, CODES, PANEL, unit_bytes};
use crate::{
    quant::Dtype,
    simd::{
        half::f16_to_f32,
        isa::{multiversion, prefetch},
    },
};

/// Up to [`CHUNK`] blocks of one panel as the integer kernels read them.
#[repr(C, align(64))]
pub(crate) struct Unpacked {
    /// `[block][input / 4][output][input % 4]`
    pub(crate) codes: [u8; CHUNK * CODES],
    /// `[block][output]`, or `[half block][output]` where halves have scales of their own.
    pub(crate) scales: [[f32; PANEL]; 2 * CHUNK],
    /// `[block][output]`; not written by formats without minimum.
    pub(crate) minimums: [[f32; PANEL]; CHUNK],
}

impl Unpacked {
    pub(crate) const fn new() -> Self {
        Self {
            codes: [0; CHUNK * CODES],
            scales: [[0.0; PANEL]; 2 * CHUNK],
            minimums: [[0.0; PANEL]; CHUNK],
        }
    }
}

/// A quantised format: `weight = scale * (code - OFFSET) - minimum`.
pub(crate) trait Unpack {
    /// Which format it is.
    const DTYPE: Dtype;
    /// What was added to the codes to make them unsigned.
    const OFFSET: i32;
    /// The greatest code.
    const GREATEST: i32;
    /// Whether each half of a block (16 inputs) has a scale of its own.
    const HALVES: bool = false;
    /// Whether there is a minimum, the same for a block.
    const MINIMUM: bool = false;

    /// Unpacks as many blocks as `packed` holds, at most [`CHUNK`].
    fn unpack(packed: &[u8], out: &mut Unpacked);

    /// Bytes that one panel's `blocks` blocks take; whole units of the format.
    fn bytes(blocks: usize) -> usize {
        blocks * BLOCK / Self::DTYPE.block_len() * unit_bytes(Self::DTYPE)
    }
}

pub(crate) struct Q4_0;
pub(crate) struct Q8_0;
pub(crate) struct Q4K;
pub(crate) struct Q5K;
pub(crate) struct Q6K;

impl Unpack for Q4_0 {
    const DTYPE: Dtype = Dtype::Q4_0;
    const OFFSET: i32 = 8;
    const GREATEST: i32 = 15;

    fn unpack(packed: &[u8], out: &mut Unpacked) {
        q4_0(packed, out);
    }
}

impl Unpack for Q8_0 {
    const DTYPE: Dtype = Dtype::Q8_0;
    const OFFSET: i32 = 128;
    const GREATEST: i32 = 255;

    fn unpack(packed: &[u8], out: &mut Unpacked) {
        q8_0(packed, out);
    }
}

impl Unpack for Q4K {
    const DTYPE: Dtype = Dtype::Q4K;
    const OFFSET: i32 = 0;
    const GREATEST: i32 = 15;
    const MINIMUM: bool = true;

    fn unpack(packed: &[u8], out: &mut Unpacked) {
        q4k(packed, out);
    }
}

impl Unpack for Q5K {
    const DTYPE: Dtype = Dtype::Q5K;
    const OFFSET: i32 = 0;
    const GREATEST: i32 = 31;
    const MINIMUM: bool = true;

    fn unpack(packed: &[u8], out: &mut Unpacked) {
        q5k(packed, out);
    }
}

impl Unpack for Q6K {
    const DTYPE: Dtype = Dtype::Q6K;
    const OFFSET: i32 = 32;
    const GREATEST: i32 = 63;
    const HALVES: bool = true;

    fn unpack(packed: &[u8], out: &mut Unpacked) {
        q6k(packed, out);
    }
}

multiversion! {
    fn q4_0(packed: &[u8], out: &mut Unpacked) {
        let (units, _) = packed.as_chunks::<{ unit_bytes(Dtype::Q4_0) }>();
        let scaled = units.iter().zip(&mut out.scales);
        for ((unit, scales), codes) in scaled.zip(out.codes.as_chunks_mut::<CODES>().0) {
            halves(&unit[..2 * PANEL], scales);
            prefetch_after(unit);
            low_bits(&unit[2 * PANEL..], codes);
        }
    }
}

multiversion! {
    fn q8_0(packed: &[u8], out: &mut Unpacked) {
        let (units, _) = packed.as_chunks::<{ unit_bytes(Dtype::Q8_0) }>();
        let scaled = units.iter().zip(&mut out.scales);
        for ((unit, scales), codes) in scaled.zip(out.codes.as_chunks_mut::<CODES>().0) {
            halves(&unit[..2 * PANEL], scales);
            prefetch_after(unit);
            codes.copy_from_slice(&unit[2 * PANEL..]);
        }
    }
}

multiversion! {
    fn q4k(packed: &[u8], out: &mut Unpacked) {
        let Some(unit) = packed.first_chunk::<{ unit_bytes(Dtype::Q4K) }>() else { return };
        scales_and_minimums(unit, out);
        let (low, _) = unit[K_HEADER..].as_chunks::<{ CODES / 2 }>();
        prefetch_after(&unit[..K_HEADER]);
        for (low, codes) in low.iter().zip(out.codes.as_chunks_mut::<CODES>().0) {
            prefetch_after(low);
            low_bits(low, codes);
        }
    }
}

multiversion! {
    fn q5k(packed: &[u8], out: &mut Unpacked) {
        let Some(unit) = packed.first_chunk::<{ unit_bytes(Dtype::Q5K) }>() else { return };
        scales_and_minimums(unit, out);
        prefetch_after(&unit[..K_HEADER]);
        let (low, fifth) = unit[K_HEADER..].split_at(CHUNK * CODES / 2);
        let low = low.as_chunks::<{ CODES / 2 }>().0;
        let planes = low.iter().zip(fifth.as_chunks::<{ CODES / 8 }>().0);
        for ((low, fifth), codes) in planes.zip(out.codes.as_chunks_mut::<CODES>().0) {
            prefetch_after(low);
            low_bits(low, codes);
            prefetch_after(fifth);
            for (bit, codes) in codes.as_chunks_mut::<{ CODES / 8 }>().0.iter_mut().enumerate() {
                for (code, fifth) in codes.iter_mut().zip(fifth) {
                    *code |= (fifth >> bit & 1) << 4;
                }
            }
        }
    }
}

multiversion! {
    fn q6k(packed: &[u8], out: &mut Unpacked) {
        let Some(unit) = packed.first_chunk::<{ unit_bytes(Dtype::Q6K) }>() else { return };
        let mut d = [0.0; PANEL];
        halves(&unit[..2 * PANEL], &mut d);
        let (factors, rest) = unit[2 * PANEL..].split_at(2 * CHUNK * PANEL);
        for (factors, scales) in factors.as_chunks::<PANEL>().0.iter().zip(&mut out.scales) {
            for ((scale, &factor), d) in scales.iter_mut().zip(factors).zip(&d) {
                *scale = d * f32::from(factor as i8);
            }
        }
        let (low, upper) = rest.split_at(CHUNK * CODES / 2);
        let low = low.as_chunks::<{ CODES / 2 }>().0;
        let planes = low.iter().zip(upper.as_chunks::<{ CODES / 4 }>().0);
        for ((low, upper), codes) in planes.zip(out.codes.as_chunks_mut::<CODES>().0) {
            prefetch_after(low);
            low_bits(low, codes);
            prefetch_after(upper);
            for (pair, codes) in codes.as_chunks_mut::<{ CODES / 4 }>().0.iter_mut().enumerate() {
                for (code, upper) in codes.iter_mut().zip(upper) {
                    *code |= (upper >> (2 * pair) & 3) << 4;
                }
            }
        }
    }
}

/// Bytes before the codes of Q4_K and Q5_K.
pub(crate) const K_HEADER: usize = 4 * PANEL + 2 * CHUNK * PANEL;

/// The products of an f16 and a small integer are exact in single precision.
#[inline(always)]
fn scales_and_minimums(unit: &[u8], out: &mut Unpacked) {
    let (mut d, mut dmin) = ([0.0; PANEL], [0.0; PANEL]);
    halves(&unit[..2 * PANEL], &mut d);
    halves(&unit[2 * PANEL..4 * PANEL], &mut dmin);
    let (scales, minimums) = unit[4 * PANEL..K_HEADER].split_at(CHUNK * PANEL);
    scaled(&d, scales, &mut out.scales[..CHUNK]);
    scaled(&dmin, minimums, &mut out.minimums);
}

#[inline(always)]
fn scaled(d: &[f32; PANEL], factors: &[u8], out: &mut [[f32; PANEL]]) {
    for (factors, out) in factors.as_chunks::<PANEL>().0.iter().zip(out) {
        for ((out, &factor), d) in out.iter_mut().zip(factors).zip(d) {
            *out = d * f32::from(factor);
        }
    }
}

#[inline(always)]
fn halves(bytes: &[u8], out: &mut [f32; PANEL]) {
    for (out, &bits) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = f16_to_f32(u16::from_le_bytes(bits));
    }
}

#[inline(always)]
fn low_bits(packed: &[u8], codes: &mut [u8; CODES]) {
    let (lower, upper) = codes.split_at_mut(CODES / 2);
    for ((lower, upper), byte) in lower.iter_mut().zip(upper).zip(packed) {
        *lower = byte & 15;
        *upper = byte >> 4;
    }
}

/// Fetches what lies behind `bytes`.
#[inline(always)]
fn prefetch_after(bytes: &[u8]) {
    for line in (0..bytes.len()).step_by(64) {
        prefetch(bytes.as_ptr().wrapping_add(line));
    }
}
