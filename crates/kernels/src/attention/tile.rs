//! Attention of some rows of one sequence, for the query heads that share a key-value head.

use super::{
    View,
    layout::{KV_BLOCK, KvData, KvHead},
    products::{MOST, Row, scores, together, weighted_sums},
    softmax::Running,
};
use crate::simd::lanes::{Kernel, LANES, Lanes};
use std::{ops::Range, slice};

/// Rows at `pos..pos + rows` of a sequence, and `group` query heads of each. Its queries are
/// numbered row by row.
#[derive(Debug)]
pub(super) struct Tile<'a> {
    pub(super) view: View,
    pub(super) blocks: &'a [&'a KvData],
    pub(super) kv_head: usize,
    pub(super) group: usize,
    pub(super) pos: usize,
    pub(super) rows: usize,
    /// The group's queries (`group * head_dim`) at the start of every `stride` numbers, a row each.
    pub(super) queries: &'a [f32],
    pub(super) stride: usize,
}

/// A thread's memory for one tile at a time.
#[derive(Debug)]
pub(super) struct Scratch {
    /// `queries x head_dim`, divided by `sqrt(head_dim)`.
    queries: Vec<f32>,
    /// One block's keys, `[dim][position]`.
    keys: Vec<f32>,
    /// One block's values, `[position][dim]`, rows filled up to a multiple of sixteen with whatever
    /// is there.
    values: Vec<f32>,
    /// Scores, then weights, of the queries that are computed together.
    weights: [Row; MOST],
    /// Weighted sums of values, `queries x dim`, rows filled up as well; in the end the result.
    sums: Vec<f32>,
    running: Vec<Running>,
}

impl Scratch {
    pub(super) const fn new() -> Self {
        Self {
            queries: Vec::new(),
            keys: Vec::new(),
            values: Vec::new(),
            weights: [[0.0; KV_BLOCK]; MOST],
            sums: Vec::new(),
            running: Vec::new(),
        }
    }

    /// The result of the last tile, a row of `head_dim` for each query.
    pub(super) fn attended(&self, head_dim: usize) -> impl Iterator<Item = &[f32]> {
        self.sums.chunks_exact(head_dim.next_multiple_of(LANES)).map(move |row| &row[..head_dim])
    }
}

impl<'a> Tile<'a> {
    /// What computes this tile into `scratch`.
    pub(super) fn kernel(self, scratch: &'a mut Scratch) -> impl Kernel {
        TileKernel { tile: self, scratch }
    }

    /// The slots of the block from position `start` that a query sees.
    #[inline(always)]
    fn slots(&self, query: usize, start: usize) -> Range<usize> {
        let seen = self.view.seen(self.pos + query / self.group);
        seen.start.saturating_sub(start).min(KV_BLOCK)..seen.end.saturating_sub(start).min(KV_BLOCK)
    }
}

struct TileKernel<'a> {
    tile: Tile<'a>,
    scratch: &'a mut Scratch,
}

impl Kernel for TileKernel<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { tile, scratch } = self;
        let dim = tile.view.share.layout.head_dim;
        let width = dim.next_multiple_of(LANES);
        let count = tile.rows * tile.group;
        let Scratch { queries, keys, values, weights, sums, running } = scratch;
        let scale = 1.0 / (dim as f32).sqrt();
        queries.resize(count * dim, 0.0);
        for (row, queries) in
            tile.queries.chunks(tile.stride).zip(queries.chunks_exact_mut(tile.group * dim))
        {
            queries.iter_mut().zip(row).for_each(|(scaled, q)| *scaled = q * scale);
        }
        keys.resize(dim * KV_BLOCK, 0.0);
        values.resize(width * KV_BLOCK, 0.0);
        sums.clear();
        sums.resize(count * width, 0.0);
        running.clear();
        running.resize(count, Running::NONE);

        let (first, last) = (tile.view.seen(tile.pos), tile.view.seen(tile.pos + tile.rows - 1));
        for block in first.start / KV_BLOCK..last.end.div_ceil(KV_BLOCK) {
            let start = block * KV_BLOCK;
            let [block_keys, block_values] = tile.blocks[block].head(tile.view.share, tile.kv_head);
            let key_scales = widen(lanes, block_keys, KV_BLOCK, KV_BLOCK, keys);
            let value_scales = widen(lanes, block_values, dim, width, values);
            // Rows see a moving range of positions, so those that see something of a block are
            // neighbours.
            let seeing = |query: &usize| !tile.slots(*query, start).is_empty();
            let mut query = (0..count).find(seeing).unwrap_or(count);
            let end = (query..count).rfind(seeing).map_or(query, |last| last + 1);
            while query < end {
                let n = together(end - query);
                let weights = &mut weights[..n];
                scores(lanes, &queries[query * dim..], keys, dim, weights);
                let sums = &mut sums[query * width..][..n * width];
                let mut common = 0..KV_BLOCK;
                for (index, (weights, sums)) in
                    weights.iter_mut().zip(sums.chunks_exact_mut(width)).enumerate()
                {
                    let slots = tile.slots(query + index, start);
                    if let Some(scales) = key_scales {
                        weights.iter_mut().zip(scales).for_each(|(score, scale)| *score *= scale);
                    }
                    if let Some(shrink) =
                        running[query + index].weigh(lanes, weights, slots.clone())
                    {
                        sums.iter_mut().for_each(|sum| *sum *= shrink);
                    }
                    if let Some(scales) = value_scales {
                        weights[slots.clone()]
                            .iter_mut()
                            .zip(&scales[slots.clone()])
                            .for_each(|(weight, scale)| *weight *= scale);
                    }
                    common = common.start.max(slots.start)..common.end.min(slots.end);
                }
                // A slot is read for the rows that see it and for no other: a weight of zero does
                // not silence what is not a number.
                let before = |slots: Range<usize>| slots.start..slots.end.min(common.start);
                let behind =
                    |slots: Range<usize>| slots.start.max(common.end).max(common.start)..slots.end;
                for (index, (weights, sums)) in
                    weights.iter().zip(sums.chunks_exact_mut(width)).enumerate()
                {
                    weighted_sums(
                        lanes,
                        slice::from_ref(weights),
                        before(tile.slots(query + index, start)),
                        values,
                        width,
                        sums,
                    );
                }
                weighted_sums(lanes, weights, common.clone(), values, width, sums);
                for (index, (weights, sums)) in
                    weights.iter().zip(sums.chunks_exact_mut(width)).enumerate()
                {
                    weighted_sums(
                        lanes,
                        slice::from_ref(weights),
                        behind(tile.slots(query + index, start)),
                        values,
                        width,
                        sums,
                    );
                }
                query += n;
            }
        }

        for (running, sums) in running.iter().zip(sums.chunks_exact_mut(width)) {
            let normaliser = running.normaliser();
            sums.iter_mut().for_each(|sum| *sum *= normaliser);
        }
    }
}

/// Brings a head's keys or values to single precision, rows of `from` numbers to rows of `to`;
/// returns the positions' scales if they have some, which are not applied.
#[inline(always)]
fn widen<'a, L: Lanes>(
    lanes: L,
    head: KvHead<'a>,
    from: usize,
    to: usize,
    out: &mut [f32],
) -> Option<&'a [f32; KV_BLOCK]> {
    match head {
        KvHead::F32(numbers) => {
            for (numbers, out) in numbers.chunks_exact(from).zip(out.chunks_exact_mut(to)) {
                out[..from].copy_from_slice(numbers);
            }
            None
        }
        KvHead::F16(numbers) if from == to => {
            for (numbers, out) in numbers.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
                lanes.store(lanes.widen(numbers), out);
            }
            None
        }
        KvHead::F16(numbers) => {
            for (numbers, out) in numbers.chunks_exact(from).zip(out.chunks_exact_mut(to)) {
                out.iter_mut().zip(numbers).for_each(|(out, number)| *out = number.to_f32());
            }
            None
        }
        KvHead::Q8 { numbers, scales } => {
            for (numbers, out) in numbers.chunks_exact(from).zip(out.chunks_exact_mut(to)) {
                out.iter_mut().zip(numbers).for_each(|(out, &number)| *out = number.into());
            }
            Some(scales)
        }
    }
}
