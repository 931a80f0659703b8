//! Rows of activations as the integer kernels read them.

#[cfg(target_arch = "x86_64")]
mod avx512;

use std::ops::Range;

use super::panels::{BLOCK, CHUNK, Unpack};
use crate::{
    simd::isa::multiversion,
    threads::{self, Disjoint},
};

/// 1.5 x 2^23: a single from which on the lowest bits of the mantissa count ones.
pub(super) const LIFT: f32 = 12_582_912.0;
/// Words that one row takes in a block: eight of codes, then those that [`Activations`] names.
pub(super) const WORDS: usize = 12;
/// Rows that share one pass over a chunk of unpacked weights.
pub(super) const GROUP: usize = 96;
/// The most rows in a tile; so few are one.
pub(super) const TILE: usize = 8;
/// The most rows in each of several tiles: their sums and those of a block fit the registers, which
/// counts where memory is not waited for.
const SEVERAL: usize = 6;
/// Numbers from which on quantising is spread over threads.
const PARALLEL_FROM: usize = 1 << 14;

/// The bits of the least magnitude that is not taken for zero, 2^-100.
const LEAST: u32 = (127 - 100) << 23;
/// The bits of the greatest magnitude that is handled, 2^100.
const GREATEST: u32 = (127 + 100) << 23;

/// What a weight format wants to know about a block of activations, beside codes and scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    offset: i32,
    halves: bool,
    minimum: bool,
}

impl Wanted {
    pub(super) fn by<F: Unpack>() -> Self {
        Self { offset: F::OFFSET, halves: F::HALVES, minimum: F::MINIMUM }
    }
}

/// Quantised rows.
///
/// A block of 32 inputs of one row is `x = scale * code` with codes from -127 to 127: `scale = max
/// |x| / 127` with the two lowest bits of its mantissa cleared, and `code` the nearest integer to
/// `x * (1 / scale)`, ties to even, each operation rounded to single precision. A block whose
/// greatest magnitude is below 2^-100 is zero; one that holds a value that is not a number, or
/// above 2^100, has the scale NaN and makes the outputs of its row NaN.
///
/// Where at most two values of a block reach a sixteenth of its greatest, the others would be left
/// with few bits. Such a block has a residue: what its codes leave of `x`, `fma(-scale, code, x)`,
/// quantised in the same way.
///
/// Rows are cut in groups of [`GROUP`], these in tiles of up to [`TILE`]; words lie as
/// `[group][chunk][tile][block][word][row of the tile]`, the order in which they are read. The
/// words are: eight of four codes each; the bits of the scale; those of `-LIFT * scale`; and
/// - for formats with a minimum, the bits of `-(scale * sum of the codes)`, and nothing;
/// - else what the integer sums of the block's halves begin with, so that they need no correction:
///   the bits of [`LIFT`], less the weights' offset times the sum of the half's codes. The first
///   half's word is for the whole block where halves do not count.
#[derive(Debug)]
pub(super) struct Activations {
    words: Vec<u32>,
    residues: Vec<Vec<Residue>>,
    rows: usize,
    blocks: usize,
}

/// The residues of one block in one tile, as a tile of one block; rows that have none are zero.
#[derive(Clone, Debug)]
pub(super) struct Residue {
    /// The tile's first row in its group.
    pub(super) row: usize,
    /// The block's number in its chunk.
    pub(super) block: usize,
    pub(super) words: Vec<u32>,
}

impl Activations {
    /// Quantises rows of `inputs` values, whole blocks.
    pub(super) fn new(x: &[f32], inputs: usize, wanted: Wanted) -> Self {
        let (rows, blocks) = (x.len() / inputs, inputs / BLOCK);
        let mut words = vec![0; rows * blocks * WORDS];
        let chunks = blocks.div_ceil(CHUNK);
        let tasks = rows.div_ceil(GROUP) * chunks;
        let mut residues = vec![Vec::new(); tasks];
        let (all, all_residues) = (Disjoint::new(&mut words), Disjoint::new(&mut residues));
        let run = |index: usize| {
            let (group, chunk) = (index / chunks, index % chunks);
            let range = chunk_range(rows, blocks, group, chunk);
            // SAFETY: every chunk of every group has words and residues of its own.
            #[allow(unsafe_code)]
            let (words, residues) =
                unsafe { (all.part(range), all_residues.part(index..index + 1)) };
            let x = &x[group * GROUP * inputs..x.len().min((group + 1) * GROUP * inputs)];
            quantise(
                x,
                inputs,
                chunk * CHUNK..blocks.min((chunk + 1) * CHUNK),
                wanted,
                words,
                residues,
            );
        };
        if x.len() < PARALLEL_FROM {
            (0..tasks).for_each(run)
        } else {
            threads::run(tasks, run)
        }
        Self { words, residues, rows, blocks }
    }

    pub(super) fn groups(&self) -> usize {
        self.rows.div_ceil(GROUP)
    }

    /// How many rows a group has.
    pub(super) fn group_rows(&self, group: usize) -> usize {
        GROUP.min(self.rows - group * GROUP)
    }

    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    /// The words of one chunk of a group: those of its tiles, one after the other.
    pub(super) fn chunk(&self, group: usize, chunk: usize) -> &[u32] {
        &self.words[chunk_range(self.rows, self.blocks, group, chunk)]
    }

    /// The residues of one chunk of a group, those of a row by block.
    pub(super) fn residues(&self, group: usize, chunk: usize) -> &[Residue] {
        &self.residues[group * self.blocks.div_ceil(CHUNK) + chunk]
    }
}

fn chunk_range(rows: usize, blocks: usize, group: usize, chunk: usize) -> Range<usize> {
    let height = GROUP.min(rows - group * GROUP);
    let at = |block: usize| (group * GROUP * blocks + height * block.min(blocks)) * WORDS;
    at(chunk * CHUNK)..at((chunk + 1) * CHUNK)
}

/// The heights of the tiles that `rows` rows are cut in: as few as possible, as equal as possible.
pub(super) fn tiles(rows: usize) -> impl Iterator<Item = usize> {
    let count = if rows <= TILE { 1 } else { rows.div_ceil(SEVERAL) };
    (0..count).map(move |tile| (rows + count - 1 - tile) / count)
}

/// Quantises some blocks, one chunk's, of a group's rows.
fn quantise(
    x: &[f32],
    inputs: usize,
    blocks: Range<usize>,
    wanted: Wanted,
    words: &mut [u32],
    residues: &mut [Vec<Residue>],
) {
    let (mut first, mut words) = (0, words);
    for height in tiles(x.len() / inputs) {
        let (tile, rest) = words.split_at_mut(height * blocks.len() * WORDS);
        words = rest;
        let mut found: [Option<Residue>; CHUNK] = Default::default();
        for r in 0..height {
            let (x, _) =
                x[(first + r) * inputs..][blocks.start * BLOCK..blocks.end * BLOCK].as_chunks();
            let mut quantised = [Quantised::default(); CHUNK];
            quantise_blocks(x, wanted, &mut quantised);
            for (block, (x, Quantised { words, peaked })) in x.iter().zip(&quantised).enumerate() {
                scatter(words, &mut tile[block * height * WORDS + r..], height);
                if *peaked {
                    let residue = found[block].get_or_insert_with(|| Residue {
                        row: first,
                        block,
                        words: nothing(height, wanted),
                    });
                    let mut rest = [Quantised::default()];
                    quantise_blocks(&[rest_of(x, words)], wanted, &mut rest);
                    scatter(&rest[0].words, &mut residue.words[r..], height);
                }
            }
        }
        residues
            .iter_mut()
            .for_each(|residues| residues.extend(found.iter_mut().filter_map(Option::take)));
        first += height;
    }
}

/// A block of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Quantised {
    words: [u32; WORDS],
    /// Whether it has a residue.
    peaked: bool,
}

/// Quantises blocks of one row.
fn quantise_blocks(x: &[[f32; BLOCK]], wanted: Wanted, out: &mut [Quantised]) {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::isa::isa() == crate::simd::isa::Isa::Avx512 {
        return avx512::blocks(x, wanted, out);
    }
    plain(x, wanted, out);
}

multiversion! {
    fn plain(x: &[[f32; BLOCK]], wanted: Wanted, out: &mut [Quantised]) {
        for (x, out) in x.iter().zip(out) {
            let top = greatest(x);
            *out = Quantised { words: quantise_block(x, top, wanted), peaked: is_peaked(x, top) };
        }
    }
}

/// Writes a row's words between those of the other rows.
fn scatter(row: &[u32; WORDS], words: &mut [u32], height: usize) {
    for (word, value) in words.iter_mut().step_by(height).zip(row) {
        *word = *value;
    }
}

/// The words of rows that are zero.
fn nothing(height: usize, wanted: Wanted) -> Vec<u32> {
    quantise_block(&[0.0; BLOCK], 0, wanted)
        .iter()
        .flat_map(|&word| std::iter::repeat_n(word, height))
        .collect()
}

/// Whether a block whose greatest magnitude has the bits `top` has a residue.
#[inline(always)]
fn is_peaked(x: &[f32; BLOCK], top: u32) -> bool {
    let large = f32::from_bits(top) / 16.0;
    is_handled(top) && x.iter().map(|v| u32::from(v.abs() >= large)).sum::<u32>() <= 2
}

/// What a block's codes leave of it.
fn rest_of(x: &[f32; BLOCK], words: &[u32; WORDS]) -> [f32; BLOCK] {
    let scale = f32::from_bits(words[8]);
    let mut rest = *x;
    for (rest, word) in rest.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        for (rest, code) in rest.iter_mut().zip(word.to_le_bytes()) {
            *rest = (-scale).mul_add(f32::from(code as i8), *rest);
        }
    }
    rest
}

/// The bits of a block's greatest magnitude: their order is that of magnitudes, and what is not a
/// number comes after all numbers.
#[inline(always)]
fn greatest(x: &[f32; BLOCK]) -> u32 {
    x.iter().fold(0, |top, v| top.max(v.to_bits() & 0x7fff_ffff))
}

#[inline(always)]
fn quantise_block(x: &[f32; BLOCK], top: u32, wanted: Wanted) -> [u32; WORDS] {
    let scale = scale_of(top);
    let mut codes = [0_i32; BLOCK];
    if scale > 0.0 {
        let inverse = 1.0 / scale;
        for (code, x) in codes.iter_mut().zip(x) {
            *code = (x * inverse + LIFT).to_bits().wrapping_sub(LIFT.to_bits()) as i32;
        }
    }
    let (first, second) = codes.split_at(BLOCK / 2);
    let (first, second) = (first.iter().sum::<i32>(), second.iter().sum::<i32>());
    let mut words = [0; WORDS];
    for (word, codes) in words.iter_mut().zip(codes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(codes.map(|code| code as u8));
    }
    words[8..].copy_from_slice(&tail(scale, [first, second], wanted));
    words
}

/// Whether a block whose greatest magnitude has the bits `top` is neither zero nor not a number.
#[inline(always)]
fn is_handled(top: u32) -> bool {
    (LEAST..=GREATEST).contains(&top)
}

/// The scale of a block whose greatest magnitude has the bits `top`.
#[inline(always)]
fn scale_of(top: u32) -> f32 {
    match top {
        ..LEAST => 0.0,
        LEAST..=GREATEST => f32::from_bits((f32::from_bits(top) / 127.0).to_bits() & !3),
        _ => f32::NAN,
    }
}

/// The words behind the codes, whose sums over each half of the block are given.
#[inline(always)]
fn tail(scale: f32, [first, second]: [i32; 2], wanted: Wanted) -> [u32; WORDS - 8] {
    let start = |sum: i32| LIFT.to_bits().wrapping_sub((wanted.offset * sum) as u32);
    let (third, fourth) = if wanted.minimum {
        ((-(scale * (first + second) as f32)).to_bits(), 0)
    } else if wanted.halves {
        (start(first), start(second))
    } else {
        (start(first + second), 0)
    };
    [scale.to_bits(), (-LIFT * scale).to_bits(), third, fourth]
}

#[cfg(test)]
mod tests;
