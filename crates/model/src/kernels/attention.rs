//! Causal attention over a paged KV cache.

use super::{
    isa::multiversion,
    math::{exp, sum_lanes},
};

/// Positions in one block of a KV cache.
pub(crate) const KV_BLOCK: usize = 64;

/// How one layer's keys and values lie in a block.
///
/// Keys are `[kv_head][dim][position]`, so that the scores of sixteen positions are sixteen independent chains over the dimensions;
/// values are `[kv_head][position][dim]`, so that an output element is one chain over the positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KvLayout {
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
}

impl KvLayout {
    /// Floats that one layer takes in a block.
    pub(crate) fn layer_floats(self) -> usize {
        2 * self.kv_heads * self.head_dim * KV_BLOCK
    }

    /// Writes one position's key and value (both `kv_heads * head_dim`, rope applied) into a layer's share of a block.
    pub(crate) fn write(self, layer: &mut [f32], slot: usize, key: &[f32], value: &[f32]) {
        let (keys, values) = layer.split_at_mut(self.kv_heads * self.head_dim * KV_BLOCK);
        for (i, &k) in key.iter().enumerate() {
            keys[i * KV_BLOCK + slot] = k;
        }
        for (head, v) in value.chunks_exact(self.head_dim).enumerate() {
            values[(head * KV_BLOCK + slot) * self.head_dim..][..self.head_dim].copy_from_slice(v);
        }
    }
}

multiversion! {
    /// `out = softmax(q k^T / sqrt(head_dim)) v` for one row over the positions `from..to` (`to` is the row's own position plus one).
    ///
    /// `query` and `out` are `heads * head_dim`; query head `h` reads key-value head `h / (heads / kv_heads)`. `blocks` are one layer's
    /// shares of the cache's blocks; `scores` is scratch.
    pub(crate) fn attend(layout: KvLayout, blocks: &[&[f32]], from: usize, to: usize, query: &[f32], scores: &mut Vec<f32>, out: &mut [f32]) {
        let (dim, key_floats) = (layout.head_dim, layout.kv_heads * layout.head_dim * KV_BLOCK);
        let group = query.len() / dim / layout.kv_heads;
        let scale = 1.0 / (dim as f32).sqrt();
        let (first, last) = (from / KV_BLOCK, to.div_ceil(KV_BLOCK));
        scores.clear();
        scores.resize((last - first) * KV_BLOCK, 0.0);
        for (head, (query, out)) in query.chunks_exact(dim).zip(out.chunks_exact_mut(dim)).enumerate() {
            let kv_head = head / group;
            for (block, scores) in blocks[first..last].iter().zip(scores.chunks_exact_mut(KV_BLOCK)) {
                let keys = &block[kv_head * dim * KV_BLOCK..][..dim * KV_BLOCK];
                let mut sums = [0.0_f32; KV_BLOCK];
                for (&q, keys) in query.iter().zip(keys.chunks_exact(KV_BLOCK)) {
                    for (sum, &k) in sums.iter_mut().zip(keys) {
                        *sum = q.mul_add(k, *sum);
                    }
                }
                for (score, sum) in scores.iter_mut().zip(sums) {
                    *score = sum * scale;
                }
            }
            // Slots outside the row's positions hold other rows' keys or leftovers; their weight must be exactly zero.
            let skipped = first * KV_BLOCK;
            scores[..from - skipped].fill(f32::NEG_INFINITY);
            scores[to - skipped..].fill(f32::NEG_INFINITY);
            let max = scores.iter().fold(f32::NEG_INFINITY, |max, &s| if s > max { s } else { max });
            let mut lanes = [0.0_f32; 16];
            for scores in scores.chunks_exact_mut(16) {
                for (lane, score) in lanes.iter_mut().zip(scores) {
                    let weight = if *score == f32::NEG_INFINITY { 0.0 } else { exp(*score - max) };
                    *score = weight;
                    *lane += weight;
                }
            }
            let normalise = 1.0 / sum_lanes(lanes);
            out.fill(0.0);
            for (index, (block, weights)) in blocks[first..last].iter().zip(scores.chunks_exact(KV_BLOCK)).enumerate() {
                let start = (first + index) * KV_BLOCK;
                let slots = from.saturating_sub(start)..(to - start).min(KV_BLOCK);
                let values = &block[key_floats + kv_head * dim * KV_BLOCK..][..dim * KV_BLOCK];
                let (values, weights) = (&values[slots.start * dim..slots.end * dim], &weights[slots]);
                let mut columns = 0;
                while columns < dim {
                    if dim - columns >= 64 {
                        weighted_sum::<64>(values, weights, dim, columns, out);
                        columns += 64;
                    } else if dim - columns >= 16 {
                        weighted_sum::<16>(values, weights, dim, columns, out);
                        columns += 16;
                    } else {
                        weighted_sum::<1>(values, weights, dim, columns, out);
                        columns += 1;
                    }
                }
            }
            out.iter_mut().for_each(|o| *o *= normalise);
        }
    }
}

/// `out[c] += sum over positions of weights[position] * values[position][c]` for `N` columns from `column`, positions in order.
#[inline(always)]
fn weighted_sum<const N: usize>(values: &[f32], weights: &[f32], dim: usize, column: usize, out: &mut [f32]) {
    let mut sums = [0.0_f32; N];
    sums.copy_from_slice(&out[column..column + N]);
    for (&weight, row) in weights.iter().zip(values.chunks_exact(dim)) {
        for (sum, &value) in sums.iter_mut().zip(&row[column..column + N]) {
            *sum = weight.mul_add(value, *sum);
        }
    }
    out[column..column + N].copy_from_slice(&sums);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_textbook_formula_and_ignores_other_slots() {
        let layout = KvLayout { kv_heads: 2, head_dim: 24 };
        let value = |i: usize, j: usize| ((i * 31 + j * 17) % 101) as f32 / 50.0 - 1.0;
        let (positions, width) = (150, 48);
        let mut blocks = vec![vec![7.5_f32; layout.layer_floats()]; 3];
        let keys: Vec<Vec<f32>> = (0..positions).map(|p| (0..width).map(|j| value(p, j)).collect()).collect();
        let values: Vec<Vec<f32>> = (0..positions).map(|p| (0..width).map(|j| value(p + 7, j)).collect()).collect();
        for p in 0..positions {
            layout.write(&mut blocks[p / KV_BLOCK], p % KV_BLOCK, &keys[p], &values[p]);
        }
        let blocks: Vec<&[f32]> = blocks.iter().map(Vec::as_slice).collect();
        let query: Vec<f32> = (0..96).map(|j| value(3, j)).collect();
        for (from, to) in [(0, 1), (0, 64), (0, 65), (0, 150), (70, 131), (128, 150)] {
            let mut out = vec![0.0; 96];
            attend(layout, &blocks, from, to, &query, &mut Vec::new(), &mut out);
            for head in 0..4 {
                let kv = head / 2 * 24;
                let dot = |p: usize| (0..24).map(|d| f64::from(query[head * 24 + d] * keys[p][kv + d])).sum::<f64>() / 24_f64.sqrt();
                let total: f64 = (from..to).map(|p| dot(p).exp()).sum();
                for d in 0..24 {
                    let want: f64 = (from..to).map(|p| dot(p).exp() / total * f64::from(values[p][kv + d])).sum();
                    assert!((want - f64::from(out[head * 24 + d])).abs() < 1e-5, "positions {from}..{to}, head {head}, dimension {d}");
                }
            }
        }
    }
}
