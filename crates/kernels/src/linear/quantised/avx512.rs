//! The integer kernel on AVX-512 VNNI: `vpdpbusd` adds four products of bytes to each of sixteen
//! outputs.
#![allow(unsafe_code)]
// Loops over indices are unrolled in every build; iterators are not, and would leave the sums in
// memory.
#![allow(clippy::needless_range_loop)]

mod weights;

use std::arch::x86_64::*;

use super::{LIFT, PANEL, TILE, Unpack, Unpacked, WORDS};
use crate::linear::panels::CHUNK;
pub(super) use weights::Read;
use weights::{Packed, Weights};

/// As [`super::tile_product`]; the processor must have AVX-512 VNNI.
pub(super) fn tile<F: Unpack>(
    weights: &Unpacked,
    first: usize,
    tile: &[u32],
    sums: &mut [[f32; PANEL]],
) {
    product::<F, _>(weights, first, tile, sums);
}

/// As [`tile`], of weights as they are packed.
pub(super) fn packed_tile<F: Read>(
    packed: &[u8],
    first: usize,
    tile: &[u32],
    sums: &mut [[f32; PANEL]],
) {
    assert!(F::bytes(first + tile.len() / (sums.len() * WORDS)) <= packed.len());
    product::<F, _>(Packed(packed), first, tile, sums);
}

fn product<F: Unpack, W: Weights<F>>(
    weights: W,
    first: usize,
    tile: &[u32],
    sums: &mut [[f32; PANEL]],
) {
    const { assert!(TILE == 8) };
    // SAFETY: this is only called where `IntegerDot::detect` found the instructions.
    unsafe {
        match sums {
            [a] => rows::<F, W, 1>(weights, first, tile, [a]),
            [a, b] => rows::<F, W, 2>(weights, first, tile, [a, b]),
            [a, b, c] => rows::<F, W, 3>(weights, first, tile, [a, b, c]),
            [a, b, c, d] => rows::<F, W, 4>(weights, first, tile, [a, b, c, d]),
            [a, b, c, d, e] => rows::<F, W, 5>(weights, first, tile, [a, b, c, d, e]),
            [a, b, c, d, e, f] => rows::<F, W, 6>(weights, first, tile, [a, b, c, d, e, f]),
            [a, b, c, d, e, f, g] => rows::<F, W, 7>(weights, first, tile, [a, b, c, d, e, f, g]),
            [a, b, c, d, e, f, g, h] => {
                rows::<F, W, 8>(weights, first, tile, [a, b, c, d, e, f, g, h])
            }
            _ => {}
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn rows<F: Unpack, W: Weights<F>, const R: usize>(
    weights: W,
    first: usize,
    tile: &[u32],
    out: [&mut [f32; PANEL]; R],
) {
    let blocks = tile.len() / (R * WORDS);
    assert!(first + blocks <= CHUNK);
    let parts = if F::HALVES { 2 } else { 1 };
    let lift = _mm512_castps_si512(_mm512_set1_ps(LIFT));
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    for r in 0..R {
        // SAFETY: rows hold 32 values.
        sums[r] =
            unsafe { [_mm512_loadu_ps(out[r].as_ptr()), _mm512_loadu_ps(out[r].as_ptr().add(16))] };
    }
    for block in 0..blocks {
        // SAFETY: `tile` holds `blocks` times 12 R words and `weights` has as many from `first` on.
        unsafe {
            let words = tile.as_ptr().add(block * R * WORDS);
            let block = first + block;
            for part in 0..parts {
                let mut dots = [[lift; 2]; R];
                if !F::MINIMUM {
                    for r in 0..R {
                        dots[r] = [_mm512_set1_epi32(*words.add((10 + part) * R + r) as i32); 2];
                    }
                }
                for four in part * 8 / parts..(part + 1) * 8 / parts {
                    weights.prefetch(block, four);
                    let (w0, w1) = (weights.codes(block, four, 0), weights.codes(block, four, 1));
                    for r in 0..R {
                        let x = _mm512_set1_epi32(*words.add(four * R + r) as i32);
                        dots[r][0] = _mm512_dpbusd_epi32(dots[r][0], w0, x);
                        dots[r][1] = _mm512_dpbusd_epi32(dots[r][1], w1, x);
                    }
                }
                let (w0, w1) = (weights.scales(block, part, 0), weights.scales(block, part, 1));
                for r in 0..R {
                    let scale = _mm512_set1_ps(f32::from_bits(*words.add(8 * R + r)));
                    let unlift = _mm512_set1_ps(f32::from_bits(*words.add(9 * R + r)));
                    sums[r][0] = _mm512_fmadd_ps(
                        _mm512_fmadd_ps(_mm512_castsi512_ps(dots[r][0]), scale, unlift),
                        w0,
                        sums[r][0],
                    );
                    sums[r][1] = _mm512_fmadd_ps(
                        _mm512_fmadd_ps(_mm512_castsi512_ps(dots[r][1]), scale, unlift),
                        w1,
                        sums[r][1],
                    );
                }
            }
            if F::MINIMUM {
                let (m0, m1) = (weights.minimums(block, 0), weights.minimums(block, 1));
                for r in 0..R {
                    let correction = _mm512_set1_ps(f32::from_bits(*words.add(10 * R + r)));
                    sums[r][0] = _mm512_fmadd_ps(correction, m0, sums[r][0]);
                    sums[r][1] = _mm512_fmadd_ps(correction, m1, sums[r][1]);
                }
            }
        }
    }
    for r in 0..R {
        // SAFETY: rows hold 32 values.
        unsafe {
            _mm512_storeu_ps(out[r].as_mut_ptr(), sums[r][0]);
            _mm512_storeu_ps(out[r].as_mut_ptr().add(16), sums[r][1]);
        }
    }
}
