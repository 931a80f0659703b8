//! The integer kernel on NEON, with `sdot` where the processor has it.
#![allow(unsafe_code)]
// Loops over indices are unrolled in every build; iterators are not, and would leave the sums in
// memory.
#![allow(clippy::needless_range_loop)]

use std::arch::aarch64::*;

use super::{LIFT, PANEL, TILE, Unpack, Unpacked, WORDS};
use crate::linear::panels::{CHUNK, CODES};

/// Outputs in a register.
const LANES: usize = 4;

/// As [`super::tile_product`]; if `DOT`, the processor must have `dotprod`.
pub(super) fn tile<F: Unpack, const DOT: bool>(
    weights: &Unpacked,
    first: usize,
    tile: &[u32],
    sums: &mut [[f32; PANEL]],
) {
    const { assert!(TILE == 8) };
    // SAFETY: NEON is part of this architecture, and `DOT` is only set where
    // `IntegerDot::available` found the instruction.
    unsafe {
        match sums {
            [a] => rows::<F, DOT, 1>(weights, first, tile, [a]),
            [a, b] => rows::<F, DOT, 2>(weights, first, tile, [a, b]),
            [a, b, c] => rows::<F, DOT, 3>(weights, first, tile, [a, b, c]),
            [a, b, c, d] => rows::<F, DOT, 4>(weights, first, tile, [a, b, c, d]),
            [a, b, c, d, e] => rows::<F, DOT, 5>(weights, first, tile, [a, b, c, d, e]),
            [a, b, c, d, e, f] => rows::<F, DOT, 6>(weights, first, tile, [a, b, c, d, e, f]),
            [a, b, c, d, e, f, g] => rows::<F, DOT, 7>(weights, first, tile, [a, b, c, d, e, f, g]),
            [a, b, c, d, e, f, g, h] => {
                rows::<F, DOT, 8>(weights, first, tile, [a, b, c, d, e, f, g, h])
            }
            _ => {}
        }
    }
}

/// # Safety
/// If `DOT`, the processor must have `dotprod`.
#[target_feature(enable = "neon")]
unsafe fn rows<F: Unpack, const DOT: bool, const R: usize>(
    weights: &Unpacked,
    first: usize,
    tile: &[u32],
    out: [&mut [f32; PANEL]; R],
) {
    let blocks = tile.len() / (R * WORDS);
    assert!(first + blocks <= CHUNK);
    let parts = if F::HALVES { 2 } else { 1 };
    // Codes that do not fit a signed byte are taken without their offset, which then needs no
    // correction.
    let signed = F::GREATEST > i8::MAX as i32;
    let offset = vdupq_n_u8(if signed { 128 } else { 0 });
    let lift = vdupq_n_s32(LIFT.to_bits() as i32);
    for column in (0..PANEL).step_by(2 * LANES) {
        let mut sums = [[vdupq_n_f32(0.0); 2]; R];
        for r in 0..R {
            // SAFETY: rows hold 32 values; column + 8 <= 32.
            sums[r] = unsafe {
                [
                    vld1q_f32(out[r].as_ptr().add(column)),
                    vld1q_f32(out[r].as_ptr().add(column + LANES)),
                ]
            };
        }
        for block in 0..blocks {
            // SAFETY: `tile` holds `blocks` times 12 R words and `weights` has as many from `first`
            // on: first + blocks <= CHUNK.
            unsafe {
                let words = tile.as_ptr().add(block * R * WORDS);
                let codes = weights.codes.as_ptr().add((first + block) * CODES + 4 * column);
                for part in 0..parts {
                    let mut dots = [[lift; 2]; R];
                    if !(F::MINIMUM || signed) {
                        for r in 0..R {
                            dots[r] = [vdupq_n_s32(*words.add((10 + part) * R + r) as i32); 2];
                        }
                    }
                    for four in part * 8 / parts..(part + 1) * 8 / parts {
                        let codes = codes.add(four * 4 * PANEL);
                        let w0 = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(codes), offset));
                        let w1 = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(codes.add(16)), offset));
                        for r in 0..R {
                            let x = vreinterpretq_s8_u32(vdupq_n_u32(*words.add(four * R + r)));
                            dots[r] = if DOT {
                                [sdot(dots[r][0], w0, x), sdot(dots[r][1], w1, x)]
                            } else {
                                [widening(dots[r][0], w0, x), widening(dots[r][1], w1, x)]
                            };
                        }
                    }
                    let scales = weights
                        .scales
                        .as_ptr()
                        .add((first + block) * parts + part)
                        .cast::<f32>()
                        .add(column);
                    let (w0, w1) = (vld1q_f32(scales), vld1q_f32(scales.add(LANES)));
                    for r in 0..R {
                        let scale = vdupq_n_f32(f32::from_bits(*words.add(8 * R + r)));
                        let unlift = vdupq_n_f32(f32::from_bits(*words.add(9 * R + r)));
                        sums[r][0] = vfmaq_f32(
                            sums[r][0],
                            vfmaq_f32(unlift, vreinterpretq_f32_s32(dots[r][0]), scale),
                            w0,
                        );
                        sums[r][1] = vfmaq_f32(
                            sums[r][1],
                            vfmaq_f32(unlift, vreinterpretq_f32_s32(dots[r][1]), scale),
                            w1,
                        );
                    }
                }
                if F::MINIMUM {
                    let minimums =
                        weights.minimums.as_ptr().add(first + block).cast::<f32>().add(column);
                    let (m0, m1) = (vld1q_f32(minimums), vld1q_f32(minimums.add(LANES)));
                    for r in 0..R {
                        let correction = vdupq_n_f32(f32::from_bits(*words.add(10 * R + r)));
                        sums[r][0] = vfmaq_f32(sums[r][0], correction, m0);
                        sums[r][1] = vfmaq_f32(sums[r][1], correction, m1);
                    }
                }
            }
        }
        for r in 0..R {
            // SAFETY: as above.
            unsafe {
                vst1q_f32(out[r].as_mut_ptr().add(column), sums[r][0]);
                vst1q_f32(out[r].as_mut_ptr().add(column + LANES), sums[r][1]);
            }
        }
    }
}

/// The sums of four products each, through sixteen bits: 128 x 127 fits.
#[target_feature(enable = "neon")]
fn widening(sums: int32x4_t, codes: int8x16_t, x: int8x16_t) -> int32x4_t {
    let (low, high) = (vmull_s8(vget_low_s8(codes), vget_low_s8(x)), vmull_high_s8(codes, x));
    vaddq_s32(sums, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)))
}

/// # Safety
/// The processor must have `dotprod`.
#[inline(always)]
unsafe fn sdot(sums: int32x4_t, codes: int8x16_t, x: int8x16_t) -> int32x4_t {
    let mut sums = sums;
    // SAFETY: one instruction on registers, which the caller promised is there; the standard
    // library has no stable intrinsic for it.
    unsafe {
        std::arch::asm!(
            ".arch_extension dotprod", "sdot {sums:v}.4s, {codes:v}.16b, {x:v}.16b",
            sums = inout(vreg) sums, codes = in(vreg) codes, x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}
