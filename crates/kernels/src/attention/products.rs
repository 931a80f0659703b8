//! The two matrix products of attention, for up to six queries and one block of positions.

use super::layout::KV_BLOCK;
use crate::simd::lanes::{LANES, Lanes};

/// Scores, then weights, of a query for the positions of a block.
pub(super) type Row = [f32; KV_BLOCK];

/// Queries that are computed together at most.
pub(super) const MOST: usize = 6;

/// How many queries to compute together of those left.
#[inline(always)]
pub(super) fn together(left: usize) -> usize {
    match left {
        1 => 1,
        2 | 3 => 2,
        4 | 5 | 8 => 4,
        _ => MOST,
    }
}

/// `scores[r][p] = sum over d of queries[r][d] * keys[d][p]`, an ordered chain for each score, for
/// as many rows as [`together`] gives.
#[inline(always)]
pub(super) fn scores<L: Lanes>(
    lanes: L,
    queries: &[f32],
    keys: &[f32],
    dim: usize,
    scores: &mut [Row],
) {
    match scores.len() {
        1 => scores_of::<L, 1>(lanes, queries, keys, dim, scores),
        2 => scores_of::<L, 2>(lanes, queries, keys, dim, scores),
        4 => scores_of::<L, 4>(lanes, queries, keys, dim, scores),
        _ => scores_of::<L, MOST>(lanes, queries, keys, dim, scores),
    }
}

#[inline(always)]
fn scores_of<L: Lanes, const R: usize>(
    lanes: L,
    queries: &[f32],
    keys: &[f32],
    dim: usize,
    scores: &mut [Row],
) {
    if L::WIDE || R == 1 {
        scores_at::<L, R, 4>(lanes, queries, keys, dim, 0, scores);
    } else {
        for column in (0..KV_BLOCK).step_by(LANES) {
            scores_at::<L, R, 1>(lanes, queries, keys, dim, column, scores);
        }
    }
}

/// The scores of `C` vectors of positions from `column`.
#[inline(always)]
#[allow(unsafe_code)]
fn scores_at<L: Lanes, const R: usize, const C: usize>(
    lanes: L,
    queries: &[f32],
    keys: &[f32],
    dim: usize,
    column: usize,
    scores: &mut [Row],
) {
    assert!(
        queries.len() >= R * dim
            && keys.len() >= dim * KV_BLOCK
            && column + C * LANES <= KV_BLOCK
            && scores.len() >= R
    );
    let mut sums = [[lanes.splat(0.0); C]; R];
    for d in 0..dim {
        let mut row = [lanes.splat(0.0); C];
        for (c, row) in row.iter_mut().enumerate() {
            // SAFETY: `d < dim`, `r < R` and `c < C`, so everything is inside the slices by the
            // assertion above.
            *row = lanes.load(unsafe { vector(keys, d * KV_BLOCK + column + c * LANES) });
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: as above.
            let query = lanes.splat(unsafe { *queries.get_unchecked(r * dim + d) });
            for (sum, keys) in sums.iter_mut().zip(&row) {
                *sum = lanes.fma(query, *keys, *sum);
            }
        }
    }
    for (sums, scores) in sums.iter().zip(scores) {
        for (&sum, scores) in sums.iter().zip(scores[column..].as_chunks_mut().0) {
            lanes.store(sum, scores);
        }
    }
}

/// `out[r][c] += sum over the slots of weights[r][slot] * values[slot][c]`, slots in order, for as
/// many rows as [`together`] gives; `width` is a multiple of sixteen.
#[inline(always)]
pub(super) fn weighted_sums<L: Lanes>(
    lanes: L,
    weights: &[Row],
    slots: std::ops::Range<usize>,
    values: &[f32],
    width: usize,
    out: &mut [f32],
) {
    match weights.len() {
        1 => weighted_sums_of::<L, 1>(lanes, weights, slots, values, width, out),
        2 => weighted_sums_of::<L, 2>(lanes, weights, slots, values, width, out),
        4 => weighted_sums_of::<L, 4>(lanes, weights, slots, values, width, out),
        _ => weighted_sums_of::<L, MOST>(lanes, weights, slots, values, width, out),
    }
}

#[inline(always)]
fn weighted_sums_of<L: Lanes, const R: usize>(
    lanes: L,
    weights: &[Row],
    slots: std::ops::Range<usize>,
    values: &[f32],
    width: usize,
    out: &mut [f32],
) {
    if slots.is_empty() {
        return;
    }
    let mut column = 0;
    while column < width {
        let left = (width - column) / LANES;
        if left >= 4 && (L::WIDE || R == 1) {
            weighted_sums_at::<L, R, 4>(lanes, weights, slots.clone(), values, width, column, out);
            column += 4 * LANES;
        } else {
            weighted_sums_at::<L, R, 1>(lanes, weights, slots.clone(), values, width, column, out);
            column += LANES;
        }
    }
}

/// The sums of `C` vectors of dimensions from `column`.
#[inline(always)]
#[allow(unsafe_code)]
fn weighted_sums_at<L: Lanes, const R: usize, const C: usize>(
    lanes: L,
    weights: &[Row],
    slots: std::ops::Range<usize>,
    values: &[f32],
    width: usize,
    column: usize,
    out: &mut [f32],
) {
    assert!(weights.len() >= R && slots.end <= KV_BLOCK && values.len() >= slots.end * width);
    assert!(column + C * LANES <= width && out.len() >= R * width);
    let mut sums = [[lanes.splat(0.0); C]; R];
    for (r, sums) in sums.iter_mut().enumerate() {
        for (c, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `r < R` and `c < C`, so everything is inside the slices by the assertions
            // above.
            *sum = lanes.load(unsafe { vector(out, r * width + column + c * LANES) });
        }
    }
    for slot in slots {
        let mut row = [lanes.splat(0.0); C];
        for (c, row) in row.iter_mut().enumerate() {
            // SAFETY: as above, and `slot < slots.end`.
            *row = lanes.load(unsafe { vector(values, slot * width + column + c * LANES) });
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: as above.
            let weight = lanes.splat(unsafe { *weights.get_unchecked(r).get_unchecked(slot) });
            for (sum, values) in sums.iter_mut().zip(&row) {
                *sum = lanes.fma(weight, *values, *sum);
            }
        }
    }
    for (sums, out) in sums.iter().zip(out.chunks_exact_mut(width)) {
        for (&sum, out) in sums.iter().zip(out[column..].as_chunks_mut().0) {
            lanes.store(sum, out);
        }
    }
}

/// # Safety
/// `from + 16` numbers must be there.
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn vector(numbers: &[f32], from: usize) -> &[f32; LANES] {
    debug_assert!(from + LANES <= numbers.len());
    // SAFETY: an array has the alignment of its elements, and the caller promises that it is inside
    // the slice.
    unsafe { &*numbers.as_ptr().add(from).cast() }
}
