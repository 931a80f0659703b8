//! The integer kernel on AVX2, with `vpdpbusd` where the processor has AVX-VNNI.
#![allow(unsafe_code)]
// Loops over indices are unrolled in every build; iterators are not, and would leave the sums in
// memory.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use super::{LIFT, PANEL, TILE, Unpack, Unpacked, WORDS};
use crate::linear::panels::{CHUNK, CODES};

/// Outputs in a register.
const LANES: usize = 8;

/// As [`super::tile_product`]; the processor must have AVX2, FMA and, if `VNNI`, AVX-VNNI.
pub(super) fn tile<F: Unpack, const VNNI: bool>(
    weights: &Unpacked,
    first: usize,
    tile: &[u32],
    sums: &mut [[f32; PANEL]],
) {
    const { assert!(TILE == 8) };
    // SAFETY: this is only called where `IntegerDot::available` found the instructions.
    unsafe {
        match sums {
            [a] => rows::<F, VNNI, 1>(weights, first, tile, [a]),
            [a, b] => rows::<F, VNNI, 2>(weights, first, tile, [a, b]),
            [a, b, c] => rows::<F, VNNI, 3>(weights, first, tile, [a, b, c]),
            [a, b, c, d] => rows::<F, VNNI, 4>(weights, first, tile, [a, b, c, d]),
            [a, b, c, d, e] => rows::<F, VNNI, 5>(weights, first, tile, [a, b, c, d, e]),
            [a, b, c, d, e, f] => rows::<F, VNNI, 6>(weights, first, tile, [a, b, c, d, e, f]),
            [a, b, c, d, e, f, g] => {
                rows::<F, VNNI, 7>(weights, first, tile, [a, b, c, d, e, f, g])
            }
            [a, b, c, d, e, f, g, h] => {
                rows::<F, VNNI, 8>(weights, first, tile, [a, b, c, d, e, f, g, h])
            }
            _ => {}
        }
    }
}

/// # Safety
/// The processor must have AVX2, FMA and, if `VNNI`, AVX-VNNI.
#[target_feature(enable = "avx2,fma")]
unsafe fn rows<F: Unpack, const VNNI: bool, const R: usize>(
    weights: &Unpacked,
    first: usize,
    tile: &[u32],
    out: [&mut [f32; PANEL]; R],
) {
    let blocks = tile.len() / (R * WORDS);
    assert!(first + blocks <= CHUNK);
    let parts = if F::HALVES { 2 } else { 1 };
    // Without VNNI, codes that would overflow sixteen bits are taken with their sign, so the offset
    // needs no correction.
    let lifted = F::MINIMUM || !VNNI && signed::<F>();
    let lift = _mm256_castps_si256(_mm256_set1_ps(LIFT));
    for column in (0..PANEL).step_by(LANES) {
        let mut sums = [_mm256_setzero_ps(); R];
        for r in 0..R {
            // SAFETY: rows hold 32 values; column + 8 <= 32.
            sums[r] = unsafe { _mm256_loadu_ps(out[r].as_ptr().add(column)) };
        }
        for block in 0..blocks {
            // SAFETY: `tile` holds `blocks` times 12 R words and `weights` has as many from `first`
            // on: first + blocks <= CHUNK.
            unsafe {
                let words = tile.as_ptr().add(block * R * WORDS);
                let codes = weights.codes.as_ptr().add((first + block) * CODES + 4 * column);
                for part in 0..parts {
                    let mut dots = [lift; R];
                    if !lifted {
                        for r in 0..R {
                            dots[r] = _mm256_set1_epi32(*words.add((10 + part) * R + r) as i32);
                        }
                    }
                    let (from, to) = (part * 8 / parts, (part + 1) * 8 / parts);
                    if VNNI {
                        for four in from..to {
                            let codes = _mm256_loadu_si256(codes.add(four * 4 * PANEL).cast());
                            for r in 0..R {
                                dots[r] = dpbusd(
                                    dots[r],
                                    codes,
                                    _mm256_set1_epi32(*words.add(four * R + r) as i32),
                                );
                            }
                        }
                    } else {
                        multiply::<F, R>(codes, words, from..to, &mut dots);
                    }
                    let weight = _mm256_loadu_ps(
                        weights
                            .scales
                            .as_ptr()
                            .add((first + block) * parts + part)
                            .cast::<f32>()
                            .add(column),
                    );
                    for r in 0..R {
                        let scale = _mm256_set1_ps(f32::from_bits(*words.add(8 * R + r)));
                        let unlift = _mm256_set1_ps(f32::from_bits(*words.add(9 * R + r)));
                        sums[r] = _mm256_fmadd_ps(
                            _mm256_fmadd_ps(_mm256_castsi256_ps(dots[r]), scale, unlift),
                            weight,
                            sums[r],
                        );
                    }
                }
                if F::MINIMUM {
                    let minimum = _mm256_loadu_ps(
                        weights.minimums.as_ptr().add(first + block).cast::<f32>().add(column),
                    );
                    for r in 0..R {
                        let correction = _mm256_set1_ps(f32::from_bits(*words.add(10 * R + r)));
                        sums[r] = _mm256_fmadd_ps(correction, minimum, sums[r]);
                    }
                }
            }
        }
        for r in 0..R {
            // SAFETY: as above.
            unsafe { _mm256_storeu_ps(out[r].as_mut_ptr().add(column), sums[r]) };
        }
    }
}

/// Whether two products of a code and an activation may exceed sixteen bits.
const fn signed<F: Unpack>() -> bool {
    2 * 127 * F::GREATEST > i16::MAX as i32
}

/// Adds the products of the fours `range` to `dots`. Pairs of products are added in sixteen bits,
/// as many as cannot overflow: an activation is at most 127 and a code at most `GREATEST`, or 128
/// with its sign.
///
/// # Safety
/// `codes` and `words` must point to a block's codes and words.
#[target_feature(enable = "avx2")]
unsafe fn multiply<F: Unpack, const R: usize>(
    codes: *const u8,
    words: *const u32,
    range: std::ops::Range<usize>,
    dots: &mut [__m256i; R],
) {
    let greatest = if signed::<F>() { 128 } else { F::GREATEST };
    let fours = ((i16::MAX as i32 / (2 * 127 * greatest)) as usize).min(range.len());
    let ones = _mm256_set1_epi16(1);
    for from in range.step_by(fours) {
        let mut pairs = [_mm256_setzero_si256(); R];
        for four in from..from + fours {
            // SAFETY: promised by the caller.
            unsafe {
                let codes = _mm256_loadu_si256(codes.add(four * 4 * PANEL).cast());
                for r in 0..R {
                    let x = _mm256_set1_epi32(*words.add(four * R + r) as i32);
                    let products = if signed::<F>() {
                        let codes = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
                        _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes))
                    } else {
                        _mm256_maddubs_epi16(codes, x)
                    };
                    pairs[r] = _mm256_add_epi16(pairs[r], products);
                }
            }
        }
        for r in 0..R {
            dots[r] = _mm256_add_epi32(dots[r], _mm256_madd_epi16(pairs[r], ones));
        }
    }
}

/// # Safety
/// The processor must have AVX-VNNI.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn dpbusd(sum: __m256i, codes: __m256i, x: __m256i) -> __m256i {
    let mut sum = sum;
    // SAFETY: one instruction on registers, which the caller promised is there. The intrinsic
    // cannot be used: it would not be inlined here, where the feature is not enabled.
    unsafe {
        std::arch::asm!(
            "{{vex}} vpdpbusd {sum}, {codes}, {x}",
            sum = inout(ymm_reg) sum,
            codes = in(ymm_reg) codes,
            x = in(ymm_reg) x,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}
