//! Products of quantised weights and quantised activations.
//!
//! An output element is computed by this sequence and no other, on every processor:
//! ```text
//! sum = 0
//! for each 256 inputs, in order:
//!     for each block of 32 inputs, in order, then for each of these blocks whose activations have
//!     a residue, with that in their place:
//!         for the whole block, or for each half of 16 inputs where they have weight scales of
//!         their own (Q6_K):
//!             dot = sum of code(x) * code(weight), exactly, in integers
//!             sum = fma(round(dot * scale(x)), scale(weight), sum)
//!         for formats with a minimum:
//!             sum = fma(-round(scale(x) * sum of code(x)), minimum(weight), sum)
//! ```
//! A residue may share its tile with rows that have none: theirs is zero, and adding a zero changes
//! no bit of a sum, which is never -0.
//!
//! The kernels get `round(dot * scale(x))` without converting `dot`: their integer sum begins with
//! the bits of [`LIFT`], so that its own bits, read as a single, are `LIFT + dot`, and `fma(LIFT +
//! dot, scale, -LIFT * scale)` is that very rounding, since `LIFT * scale` is exact for a scale of
//! 22 bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use std::ops::Range;

use super::{
    activations::{Activations, GROUP, LIFT, Residue, TILE, WORDS, Wanted, tiles},
    panels::{CHUNK, PANEL, PackedPart, Q4_0, Q4K, Q5K, Q6K, Q8_0, Unpack, Unpacked},
};
use crate::{quant::Dtype, simd::isa::IntegerDot};

#[cfg(not(target_arch = "x86_64"))]
use Unpack as Format;
#[cfg(target_arch = "x86_64")]
use avx512::Read as Format;

/// What a part's format wants to know of the activations; `None` for formats that are not
/// quantised.
pub(super) fn wanted(dtype: Dtype) -> Option<Wanted> {
    Some(match dtype {
        Dtype::F32 | Dtype::F16 | Dtype::Bf16 => return None,
        Dtype::Q4_0 => Wanted::by::<Q4_0>(),
        Dtype::Q8_0 => Wanted::by::<Q8_0>(),
        Dtype::Q4K => Wanted::by::<Q4K>(),
        Dtype::Q5K => Wanted::by::<Q5K>(),
        Dtype::Q6K => Wanted::by::<Q6K>(),
    })
}

/// Multiplies a run of a quantised part's panels by the rows of `x`, which were quantised as
/// [`wanted`]; `store` gets row, panel and sums.
pub(super) fn multiply(
    part: &PackedPart,
    panels: Range<usize>,
    x: &Activations,
    dot: IntegerDot,
    store: impl Fn(usize, usize, &[f32; PANEL]),
) {
    match part.dtype {
        Dtype::F32 | Dtype::F16 | Dtype::Bf16 => {}
        Dtype::Q4_0 => run::<Q4_0>(part, panels, x, dot, store),
        Dtype::Q8_0 => run::<Q8_0>(part, panels, x, dot, store),
        Dtype::Q4K => run::<Q4K>(part, panels, x, dot, store),
        Dtype::Q5K => run::<Q5K>(part, panels, x, dot, store),
        Dtype::Q6K => run::<Q6K>(part, panels, x, dot, store),
    }
}

/// Rows of a group up to which weights are multiplied as they are packed.
#[cfg(target_arch = "x86_64")]
const PACKED_ROWS: usize = TILE;

fn run<F: Format>(
    part: &PackedPart,
    panels: Range<usize>,
    x: &Activations,
    dot: IntegerDot,
    store: impl Fn(usize, usize, &[f32; PANEL]),
) {
    let size = F::bytes(x.blocks());
    let chunk_size = F::bytes(CHUNK);
    let mut unpacked = Unpacked::new();
    let mut sums = [[0.0; PANEL]; GROUP];
    for group in 0..x.groups() {
        let sums = &mut sums[..x.group_rows(group)];
        for panel in panels.clone() {
            sums.fill([0.0; PANEL]);
            for (index, packed) in part.bytes[panel * size..][..size].chunks(chunk_size).enumerate()
            {
                match dot {
                    #[cfg(target_arch = "x86_64")]
                    IntegerDot::Avx512Vnni if sums.len() <= PACKED_ROWS => {
                        chunk_product(x, group, index, sums, |first, tile, sums| {
                            avx512::packed_tile::<F>(packed, first, tile, sums)
                        });
                    }
                    _ => {
                        F::unpack(packed, &mut unpacked);
                        chunk_product(x, group, index, sums, |first, tile, sums| {
                            tile_product::<F>(dot, &unpacked, first, tile, sums)
                        });
                    }
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                store(group * GROUP + row, panel, sums);
            }
        }
    }
}

/// Adds the products of a chunk of weights and a group of activations to the group's sums;
/// `product` does so for one tile, from a block on.
fn chunk_product(
    x: &Activations,
    group: usize,
    chunk: usize,
    sums: &mut [[f32; PANEL]],
    mut product: impl FnMut(usize, &[u32], &mut [[f32; PANEL]]),
) {
    let blocks = CHUNK.min(x.blocks() - chunk * CHUNK);
    let (mut words, mut rows) = (x.chunk(group, chunk), &mut *sums);
    for height in tiles(rows.len()) {
        let (tile, rest) = words.split_at(height * blocks * WORDS);
        let (tile_rows, rest_rows) = rows.split_at_mut(height);
        product(0, tile, tile_rows);
        (words, rows) = (rest, rest_rows);
    }
    for Residue { row, block, words } in x.residues(group, chunk) {
        product(*block, words, &mut sums[*row..row + words.len() / WORDS]);
    }
}

/// Adds the products of a chunk of weights, from block `first` on, and a tile of activations to the
/// tile's sums.
fn tile_product<F: Unpack>(
    dot: IntegerDot,
    weights: &Unpacked,
    first: usize,
    tile: &[u32],
    sums: &mut [[f32; PANEL]],
) {
    match dot {
        #[cfg(target_arch = "x86_64")]
        IntegerDot::Avx512Vnni => avx512::tile::<F>(weights, first, tile, sums),
        #[cfg(target_arch = "x86_64")]
        IntegerDot::AvxVnni => avx2::tile::<F, true>(weights, first, tile, sums),
        #[cfg(target_arch = "x86_64")]
        IntegerDot::Avx2 => avx2::tile::<F, false>(weights, first, tile, sums),
        #[cfg(target_arch = "aarch64")]
        IntegerDot::NeonDot => neon::tile::<F, true>(weights, first, tile, sums),
        #[cfg(target_arch = "aarch64")]
        IntegerDot::Neon => neon::tile::<F, false>(weights, first, tile, sums),
        IntegerDot::Portable => portable::tile::<F>(weights, first, tile, sums),
    }
}
