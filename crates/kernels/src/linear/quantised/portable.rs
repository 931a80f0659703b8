//! The integer kernel in plain Rust.

use super::{LIFT, PANEL, Unpack, Unpacked, WORDS};
use crate::linear::panels::CODES;

/// As [`super::tile_product`].
pub(super) fn tile<F: Unpack>(
    weights: &Unpacked,
    first: usize,
    tile: &[u32],
    sums: &mut [[f32; PANEL]],
) {
    let rows = sums.len();
    let parts = if F::HALVES { 2 } else { 1 };
    let blocks = tile
        .chunks_exact(rows * WORDS)
        .zip(&weights.codes.as_chunks::<CODES>().0[first..])
        .zip(first..);
    for ((words, codes), block) in blocks {
        for (row, sums) in sums.iter_mut().enumerate() {
            let word = |index: usize| words[index * rows + row];
            let scale = f32::from_bits(word(8));
            for (part, codes) in codes.chunks_exact(CODES / parts).enumerate() {
                let start = if F::MINIMUM {
                    0
                } else {
                    word(10 + part).wrapping_sub(LIFT.to_bits()) as i32
                };
                let mut dots = [start; PANEL];
                for (four, codes) in codes.as_chunks::<{ 4 * PANEL }>().0.iter().enumerate() {
                    let x = word(part * 4 + four).to_le_bytes().map(|code| i32::from(code as i8));
                    for (dot, codes) in dots.iter_mut().zip(codes.as_chunks::<4>().0) {
                        for (&code, x) in codes.iter().zip(x) {
                            *dot += i32::from(code) * x;
                        }
                    }
                }
                for ((sum, dot), weight) in
                    sums.iter_mut().zip(dots).zip(weights.scales[block * parts + part])
                {
                    *sum = (dot as f32 * scale).mul_add(weight, *sum);
                }
            }
            if F::MINIMUM {
                let correction = f32::from_bits(word(10));
                for (sum, minimum) in sums.iter_mut().zip(weights.minimums[block]) {
                    *sum = correction.mul_add(minimum, *sum);
                }
            }
        }
    }
}
