//! Causal attention over a paged KV cache.
//!
//! A row is computed block by block in the order of positions, with the running maximum and sum of
//! an online softmax (Milakov and Gimelshein 2018, arXiv 1805.02867; tiled as in FlashAttention,
//! arXiv 2205.14135). Blocks begin at multiples of 64 positions, so the operations on a row depend
//! on its position and the blocks it sees alone. Rows that are computed together share the work of
//! bringing keys and values to single precision, nothing else.

mod format;
mod layout;
mod products;
mod softmax;
mod tile;

pub use format::{KvFormat, UnknownKvFormat};
pub use layout::{BlockLayout, KV_BLOCK, KvData, KvHead, KvLayout, KvShare};

use crate::{
    simd::{
        isa::{Isa, isa},
        lanes::dispatch,
    },
    threads,
};
use std::{cell::RefCell, marker::PhantomData, ops::Range};
use tile::{Scratch, Tile};

/// Below this many multiply-adds attention stays on the calling thread.
const PARALLEL_FROM: usize = 1 << 18;
/// Queries in one tile: as many as make bringing a block to single precision a small part of the
/// work.
const TILE_QUERIES: usize = 64;

/// One sequence's rows in a call, and what they look at.
#[derive(Debug)]
pub struct Sequence<'a> {
    /// Blocks of the sequence's cache, the rows' own positions included.
    pub blocks: Vec<&'a KvData>,
    /// Position of the first row.
    pub pos: usize,
    /// Number of rows.
    pub rows: usize,
}

/// The queries of a batch: `heads * head_dim` at the start of every `stride` numbers; query head
/// `h` reads key-value head `h / (heads / kv_heads)`.
#[derive(Clone, Copy, Debug)]
pub struct Queries<'a> {
    /// The rows, `stride` numbers each.
    pub rows: &'a [f32],
    /// Numbers from one row to the next.
    pub stride: usize,
    /// Query heads of a row.
    pub heads: usize,
}

/// The part of the caches that every row of a call looks at.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The layer's share of a block.
    pub share: KvShare,
    /// How far back a row sees, itself included.
    pub window: Option<usize>,
}

impl View {
    /// The positions that the row at `pos` sees.
    fn seen(self, pos: usize) -> Range<usize> {
        self.window.map_or(0, |window| (pos + 1).saturating_sub(window))..pos + 1
    }
}

/// `out = softmax(q k^T / sqrt(head_dim)) v` for the rows of all sequences, one after the other;
/// `out` is `rows x heads * head_dim`.
pub fn attend(view: View, sequences: &[Sequence<'_>], queries: Queries<'_>, out: &mut [f32]) {
    attend_on(isa(), view, sequences, queries, out);
}

fn attend_on(
    isa: Isa,
    view: View,
    sequences: &[Sequence<'_>],
    queries: Queries<'_>,
    out: &mut [f32],
) {
    let KvLayout { kv_heads, head_dim } = view.share.layout;
    let (width, group) = (queries.heads * head_dim, queries.heads / kv_heads);
    let rows: usize = sequences.iter().map(|sequence| sequence.rows).sum();
    assert!(
        queries.rows.len() >= rows * queries.stride && out.len() == rows * width,
        "every row needs its queries and its output"
    );
    let most = (TILE_QUERIES / group).max(1);
    let mut tiles = Vec::new();
    let mut work = 0;
    let mut row = 0;
    for sequence in sequences {
        for start in (0..sequence.rows).step_by(most) {
            let rows = most.min(sequence.rows - start);
            let pos = sequence.pos + start;
            work += rows * view.seen(pos).len() * width * 2;
            tiles.push((sequence, row + start, pos, rows));
        }
        row += sequence.rows;
    }
    let out = Columns { start: out.as_mut_ptr(), width, rows, whole: PhantomData };
    let one = |index: usize| {
        // The last rows of a prompt see the most: they come first, so that no thread is left alone
        // with them at the end.
        let (tile, kv_head) = (index / kv_heads, index % kv_heads);
        let (sequence, row, pos, rows) = tiles[tiles.len() - 1 - tile];
        let from = kv_head * group * head_dim;
        let tile = Tile {
            view,
            blocks: &sequence.blocks,
            kv_head,
            group,
            pos,
            rows,
            queries: &queries.rows[row * queries.stride + from..],
            stride: queries.stride,
        };
        SCRATCH.with_borrow_mut(|scratch| {
            dispatch(isa, tile.kernel(scratch));
            for (query, attended) in scratch.attended(head_dim).enumerate() {
                out.write(row + query / group, from + query % group * head_dim, attended);
            }
        });
    };
    let tasks = tiles.len() * kv_heads;
    if work < PARALLEL_FROM { (0..tasks).for_each(one) } else { threads::run(tasks, one) }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
}

/// The output matrix, written by several threads at disjoint columns.
struct Columns<'a> {
    start: *mut f32,
    width: usize,
    rows: usize,
    whole: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer is only written through `write`, and every task has its own rows and columns.
#[allow(unsafe_code)]
unsafe impl Sync for Columns<'_> {}

impl Columns<'_> {
    fn write(&self, row: usize, column: usize, values: &[f32]) {
        assert!(row < self.rows && column + values.len() <= self.width);
        // SAFETY: in bounds by the assertion; no other thread touches these columns, and the matrix
        // is borrowed as long as this lives.
        #[allow(unsafe_code)]
        unsafe {
            std::ptr::copy_nonoverlapping(
                values.as_ptr(),
                self.start.add(row * self.width + column),
                values.len(),
            );
        }
    }
}

#[cfg(test)]
mod tests;
