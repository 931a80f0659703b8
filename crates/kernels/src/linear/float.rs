//! Products of weights that are not quantised: an output element is one chain of fused
//! multiply-adds over the inputs in order.

#[cfg(target_arch = "x86_64")]
mod avx512;

use std::ops::Range;

use super::panels::{PANEL, PackedPart, panel_bytes};
use crate::{
    quant::Dtype,
    simd::{
        half::f16_to_f32,
        isa::{Isa, isa, multiversion},
    },
};

/// Rows that one pass over a panel serves.
const TILE: usize = 8;
/// The most panels in one pass.
const PANELS: usize = 4;

/// Sums of a pass, `[row][panel][output]`.
type Sums<const P: usize> = [[[f32; PANEL]; P]; TILE];

/// Multiplies a run of a part's panels by the rows of `x`, each `inputs` long; `store` gets row,
/// panel and sums.
pub(super) fn multiply(
    part: &PackedPart,
    panels: Range<usize>,
    x: &[f32],
    inputs: usize,
    store: impl Fn(usize, usize, &[f32; PANEL]),
) {
    let rows = x.len() / inputs;
    let mut panel = panels.start;
    while panel < panels.end {
        // Few rows: several panels at once keep enough independent chains in flight to hide the
        // latency of an addition.
        let wanted = match rows {
            1 | 2 => PANELS,
            3 | 4 => 2,
            _ => 1,
        };
        let group = match panels.end - panel {
            left if left >= wanted => wanted,
            2 | 3 => 2,
            _ => 1,
        };
        for (tile, x) in x.chunks(TILE * inputs).enumerate() {
            let store = |row: usize, panel: usize, sums: &[f32; PANEL]| {
                store(tile * TILE + row, panel, sums)
            };
            match group {
                PANELS => pass::<PANELS>(part, panel, x, inputs, store),
                2 => pass::<2>(part, panel, x, inputs, store),
                _ => pass::<1>(part, panel, x, inputs, store),
            }
        }
        panel += group;
    }
}

/// Computes `P` panels for up to [`TILE`] rows.
fn pass<const P: usize>(
    part: &PackedPart,
    panel: usize,
    x: &[f32],
    inputs: usize,
    store: impl Fn(usize, usize, &[f32; PANEL]),
) {
    let size = panel_bytes(part.dtype, inputs).unwrap_or_default();
    let weights = &part.bytes[panel * size..][..P * size];
    let mut sums: Sums<P> = [[[0.0; PANEL]; P]; TILE];
    match isa() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::pass(part.dtype, weights, x, inputs, &mut sums),
        _ => {
            for (row, x) in x.chunks_exact(inputs).enumerate() {
                for (weights, sums) in weights.chunks_exact(size).zip(&mut sums[row]) {
                    plain(part.dtype, weights, x, sums);
                }
            }
        }
    }
    for (row, sums) in sums.iter().take(x.len() / inputs).enumerate() {
        for (p, sums) in sums.iter().enumerate() {
            store(row, panel + p, sums);
        }
    }
}

/// One panel for one row, in plain Rust.
fn plain(dtype: Dtype, weights: &[u8], x: &[f32], sums: &mut [f32; PANEL]) {
    match dtype {
        Dtype::F32 => plain_f32(weights, x, sums),
        Dtype::F16 => plain_f16(weights, x, sums),
        _ => plain_bf16(weights, x, sums),
    }
}

multiversion! {
    fn plain_f32(weights: &[u8], x: &[f32], sums: &mut [f32; PANEL]) {
        for (&x, weights) in x.iter().zip(weights.as_chunks::<{ 4 * PANEL }>().0) {
            for (sum, &weight) in sums.iter_mut().zip(weights.as_chunks().0) {
                *sum = x.mul_add(f32::from_le_bytes(weight), *sum);
            }
        }
    }
}

multiversion! {
    fn plain_f16(weights: &[u8], x: &[f32], sums: &mut [f32; PANEL]) {
        for (&x, weights) in x.iter().zip(weights.as_chunks::<{ 2 * PANEL }>().0) {
            for (sum, &weight) in sums.iter_mut().zip(weights.as_chunks().0) {
                *sum = x.mul_add(f16_to_f32(u16::from_le_bytes(weight)), *sum);
            }
        }
    }
}

multiversion! {
    fn plain_bf16(weights: &[u8], x: &[f32], sums: &mut [f32; PANEL]) {
        let (low, high) = sums.split_at_mut(PANEL / 2);
        for (&x, weights) in x.iter().zip(weights.as_chunks::<{ 2 * PANEL }>().0) {
            let sums = low.iter_mut().zip(high.iter_mut());
            for ((low, high), &pair) in sums.zip(weights.as_chunks().0) {
                let pair = u32::from_le_bytes(pair);
                *low = x.mul_add(f32::from_bits(pair << 16), *low);
                *high = x.mul_add(f32::from_bits(pair & 0xffff_0000), *high);
            }
        }
    }
}
