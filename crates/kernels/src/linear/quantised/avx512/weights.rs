//! Weights as the kernel takes them: bytes that were unpacked before, or packed ones, for products
//! with so few rows that writing and reading the bytes would take longer than the product.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::super::{CHUNK, PANEL, Q4_0, Q4K, Q5K, Q6K, Q8_0, Unpack, Unpacked};
use crate::{
    linear::panels::{CODES, K_HEADER},
    simd::isa::prefetch,
};

/// Bytes in a register.
const REGISTER: usize = 64;

/// Up to [`CHUNK`] blocks of one panel in the format `F`. A register holds sixteen outputs: the
/// panel's first on side 0, the others on side 1.
pub(super) trait Weights<F: Unpack>: Copy {
    /// The codes of four inputs, a block's `four`th.
    ///
    /// # Safety
    /// As for all methods: the processor must have AVX-512F and AVX-512BW, and there must be such a
    /// block.
    unsafe fn codes(self, block: usize, four: usize, side: usize) -> __m512i;
    /// The scales of a block, or of one of its halves.
    ///
    /// # Safety
    /// As above.
    unsafe fn scales(self, block: usize, half: usize, side: usize) -> __m512;
    /// The minimums of a block, in formats that have them.
    ///
    /// # Safety
    /// As above.
    unsafe fn minimums(self, block: usize, side: usize) -> __m512;
    /// Asks for a share of the memory that will be read soon.
    fn prefetch(self, block: usize, four: usize);
}

impl<F: Unpack> Weights<F> for &Unpacked {
    #[inline(always)]
    unsafe fn codes(self, block: usize, four: usize, side: usize) -> __m512i {
        // SAFETY: promised by the caller.
        unsafe { load(self.codes.as_ptr().add(block * CODES + four * 4 * PANEL + side * REGISTER)) }
    }

    #[inline(always)]
    unsafe fn scales(self, block: usize, half: usize, side: usize) -> __m512 {
        let index = if F::HALVES { 2 * block + half } else { block };
        // SAFETY: promised by the caller.
        unsafe { _mm512_loadu_ps(self.scales.as_ptr().add(index).cast::<f32>().add(side * 16)) }
    }

    #[inline(always)]
    unsafe fn minimums(self, block: usize, side: usize) -> __m512 {
        // SAFETY: promised by the caller.
        unsafe { _mm512_loadu_ps(self.minimums.as_ptr().add(block).cast::<f32>().add(side * 16)) }
    }

    #[inline(always)]
    fn prefetch(self, _: usize, _: usize) {}
}

/// Packed weights.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a>(pub(super) &'a [u8]);

impl<F: Read> Weights<F> for Packed<'_> {
    #[inline(always)]
    unsafe fn codes(self, block: usize, four: usize, side: usize) -> __m512i {
        // SAFETY: promised by the caller.
        unsafe { F::codes(self.0.as_ptr(), block, four, side) }
    }

    #[inline(always)]
    unsafe fn scales(self, block: usize, half: usize, side: usize) -> __m512 {
        // SAFETY: promised by the caller.
        unsafe { F::scales(self.0.as_ptr(), block, half, side) }
    }

    #[inline(always)]
    unsafe fn minimums(self, block: usize, side: usize) -> __m512 {
        // SAFETY: promised by the caller.
        unsafe { F::minimums(self.0.as_ptr(), block, side) }
    }

    #[inline(always)]
    fn prefetch(self, block: usize, four: usize) {
        let share = F::bytes(CHUNK) / CHUNK;
        for line in (four..share.div_ceil(REGISTER)).step_by(8) {
            prefetch(self.0.as_ptr().wrapping_add(block * share + line * REGISTER));
        }
    }
}

/// A format whose packed bytes the kernel reads. The methods are those of [`Weights`], with the
/// address of the first block's bytes.
pub(in super::super) trait Read: Unpack {
    /// # Safety
    /// As in [`Weights`].
    unsafe fn codes(at: *const u8, block: usize, four: usize, side: usize) -> __m512i;
    /// # Safety
    /// As in [`Weights`].
    unsafe fn scales(at: *const u8, block: usize, half: usize, side: usize) -> __m512;
    /// # Safety
    /// As in [`Weights`].
    #[inline(always)]
    unsafe fn minimums(_: *const u8, _: usize, _: usize) -> __m512 {
        // SAFETY: promised by the caller.
        unsafe { _mm512_setzero_ps() }
    }
}

impl Read for Q8_0 {
    #[inline(always)]
    unsafe fn codes(at: *const u8, block: usize, four: usize, side: usize) -> __m512i {
        // SAFETY: promised by the caller.
        unsafe {
            load(at.add(block * Self::bytes(1) + 2 * PANEL + four * 4 * PANEL + side * REGISTER))
        }
    }

    #[inline(always)]
    unsafe fn scales(at: *const u8, block: usize, _: usize, side: usize) -> __m512 {
        // SAFETY: promised by the caller.
        unsafe { halves(at.add(block * Self::bytes(1)), side) }
    }
}

impl Read for Q4_0 {
    #[inline(always)]
    unsafe fn codes(at: *const u8, block: usize, four: usize, side: usize) -> __m512i {
        // SAFETY: promised by the caller.
        unsafe { low_bits(at.add(block * Self::bytes(1) + 2 * PANEL), four, side) }
    }

    #[inline(always)]
    unsafe fn scales(at: *const u8, block: usize, _: usize, side: usize) -> __m512 {
        // SAFETY: promised by the caller.
        unsafe { halves(at.add(block * Self::bytes(1)), side) }
    }
}

impl Read for Q4K {
    #[inline(always)]
    unsafe fn codes(at: *const u8, block: usize, four: usize, side: usize) -> __m512i {
        // SAFETY: promised by the caller.
        unsafe { low_bits(at.add(K_HEADER + block * CODES / 2), four, side) }
    }

    #[inline(always)]
    unsafe fn scales(at: *const u8, block: usize, _: usize, side: usize) -> __m512 {
        // SAFETY: promised by the caller.
        unsafe { k_scales(at, block, side) }
    }

    #[inline(always)]
    unsafe fn minimums(at: *const u8, block: usize, side: usize) -> __m512 {
        // SAFETY: promised by the caller.
        unsafe { k_minimums(at, block, side) }
    }
}

impl Read for Q5K {
    #[inline(always)]
    unsafe fn codes(at: *const u8, block: usize, four: usize, side: usize) -> __m512i {
        // SAFETY: promised by the caller.
        unsafe {
            let low = low_bits(at.add(K_HEADER + block * CODES / 2), four, side);
            let fifth =
                load(at.add(K_HEADER + CHUNK * CODES / 2 + block * CODES / 8 + side * REGISTER));
            join(low, fifth, 4 - four as i32, 0x10)
        }
    }

    #[inline(always)]
    unsafe fn scales(at: *const u8, block: usize, _: usize, side: usize) -> __m512 {
        // SAFETY: promised by the caller.
        unsafe { k_scales(at, block, side) }
    }

    #[inline(always)]
    unsafe fn minimums(at: *const u8, block: usize, side: usize) -> __m512 {
        // SAFETY: promised by the caller.
        unsafe { k_minimums(at, block, side) }
    }
}

impl Read for Q6K {
    #[inline(always)]
    unsafe fn codes(at: *const u8, block: usize, four: usize, side: usize) -> __m512i {
        // SAFETY: promised by the caller.
        unsafe {
            let at = at.add(2 * PANEL + 2 * CHUNK * PANEL);
            let low = low_bits(at.add(block * CODES / 2), four, side);
            let upper = load(at.add(
                CHUNK * CODES / 2 + block * CODES / 4 + four % 2 * 4 * PANEL + side * REGISTER,
            ));
            join(low, upper, 4 - 2 * (four / 2) as i32, 0x30)
        }
    }

    #[inline(always)]
    unsafe fn scales(at: *const u8, block: usize, half: usize, side: usize) -> __m512 {
        // SAFETY: promised by the caller.
        unsafe {
            let factors = _mm512_cvtepi8_epi32(_mm_loadu_si128(
                at.add(2 * PANEL + (2 * block + half) * PANEL + side * 16).cast(),
            ));
            _mm512_mul_ps(halves(at, side), _mm512_cvtepi32_ps(factors))
        }
    }
}

/// The scales of Q4_K and Q5_K.
#[inline(always)]
unsafe fn k_scales(at: *const u8, block: usize, side: usize) -> __m512 {
    // SAFETY: promised by the caller.
    unsafe { _mm512_mul_ps(halves(at, side), factors(at.add(4 * PANEL + block * PANEL), side)) }
}

/// The minimums of Q4_K and Q5_K.
#[inline(always)]
unsafe fn k_minimums(at: *const u8, block: usize, side: usize) -> __m512 {
    // SAFETY: promised by the caller.
    unsafe {
        _mm512_mul_ps(
            halves(at.add(2 * PANEL), side),
            factors(at.add(4 * PANEL + (CHUNK + block) * PANEL), side),
        )
    }
}

/// A side's unsigned factors.
#[inline(always)]
unsafe fn factors(at: *const u8, side: usize) -> __m512 {
    // SAFETY: promised by the caller.
    unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(at.add(side * 16).cast()))) }
}

/// A side's numbers in half precision.
#[inline(always)]
unsafe fn halves(at: *const u8, side: usize) -> __m512 {
    // SAFETY: promised by the caller.
    unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(at.add(side * 32).cast())) }
}

/// The four low bits of codes.
#[inline(always)]
unsafe fn low_bits(at: *const u8, four: usize, side: usize) -> __m512i {
    // SAFETY: promised by the caller.
    unsafe {
        let bytes = load(at.add(four % 4 * 4 * PANEL + side * REGISTER));
        _mm512_and_si512(
            if four < 4 { bytes } else { _mm512_srli_epi16::<4>(bytes) },
            _mm512_set1_epi8(15),
        )
    }
}

/// `low` with the bits `mask` of `upper`, shifted by so many bits to the left.
#[inline(always)]
unsafe fn join(low: __m512i, upper: __m512i, left: i32, mask: i8) -> __m512i {
    // SAFETY: promised by the caller.
    unsafe {
        let count = _mm_cvtsi32_si128(left.abs());
        let shifted =
            if left < 0 { _mm512_srl_epi16(upper, count) } else { _mm512_sll_epi16(upper, count) };
        _mm512_or_si512(low, _mm512_and_si512(shifted, _mm512_set1_epi8(mask)))
    }
}

#[inline(always)]
unsafe fn load(at: *const u8) -> __m512i {
    // SAFETY: promised by the caller.
    unsafe { _mm512_loadu_si512(at.cast()) }
}
