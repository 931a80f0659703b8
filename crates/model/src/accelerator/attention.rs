//! Attention of a ragged batch: one product of queries and keys for each sequence, cut so that the
//! scores stay small.

use crate::kv::accelerated::Kv;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::softmax_last_dim;
use std::ops::Range;
use tricorn_kernels::KvLayout;

/// Some rows of one sequence that attend together.
#[derive(Debug)]
struct Tile {
    sequence: usize,
    /// Among the batch's rows.
    rows: Range<usize>,
    /// Positions of the keys that any of the rows sees.
    keys: Range<usize>,
    /// What is added to the scores, `rows x keys`: zero for keys that a row sees, minus infinity
    /// for others. `None` where all see all.
    mask: Option<Tensor>,
}

/// Which keys the rows of a batch attend to; the same for all layers with the same window.
#[derive(Debug)]
pub(super) struct Plan {
    tiles: Vec<Tile>,
}

impl Plan {
    /// `sequences` are the positions of each one's rows, `window` is how far back a row sees,
    /// itself included; a tile has at most `most_scores` for every head.
    pub(super) fn new(
        sequences: impl Iterator<Item = Range<usize>>,
        window: Option<usize>,
        most_scores: usize,
        device: &Device,
    ) -> Result<Self> {
        let (mut tiles, mut first) = (Vec::new(), 0);
        for (sequence, Range { start: mut pos, end }) in sequences.enumerate() {
            let most = (most_scores / end.max(1)).max(1);
            while pos < end {
                let rows = most.min(end - pos);
                let keys = window.map_or(0, |window| (pos + 1).saturating_sub(window))..pos + rows;
                let mask = mask(pos..pos + rows, &keys, window, device)?;
                tiles.push(Tile { sequence, rows: first..first + rows, keys, mask });
                pos += rows;
                first += rows;
            }
        }
        Ok(Self { tiles })
    }

    /// Attention of `queries` (`rows x heads x head_dim`, scaled) to one layer's keys and values:
    /// `rows x (heads * head_dim)`.
    pub(super) fn attend(
        &self,
        layer: usize,
        layout: KvLayout,
        caches: &[&Kv],
        queries: &Tensor,
    ) -> Result<Tensor> {
        let tiles = self
            .tiles
            .iter()
            .map(|tile| tile.attend(layer, layout, caches[tile.sequence], queries));
        match tiles.collect::<Result<Vec<_>>>()?.as_slice() {
            [one] => Ok(one.clone()),
            several => Tensor::cat(several, 0),
        }
    }
}

impl Tile {
    fn attend(&self, layer: usize, layout: KvLayout, kv: &Kv, queries: &Tensor) -> Result<Tensor> {
        let KvLayout { kv_heads, head_dim } = layout;
        let (rows, keys) = (self.rows.len(), self.keys.len());
        let group = queries.dim(1)? / kv_heads;
        let (held_keys, held_values) = kv.layer(layer)?;
        let seen = |all: &Tensor| all.narrow(1, self.keys.start, keys)?.to_dtype(DType::F32);
        let (held_keys, held_values) = (seen(held_keys)?, seen(held_values)?);

        // The query heads that share a key head are rows of one product.
        let queries =
            queries.narrow(0, self.rows.start, rows)?.reshape((rows, kv_heads, group, head_dim))?;
        let queries = queries.permute((1, 2, 0, 3))?.reshape((kv_heads, group * rows, head_dim))?;
        let scores = queries.matmul(&held_keys.t()?)?;
        let scores = match &self.mask {
            Some(mask) => scores
                .reshape((kv_heads * group, rows, keys))?
                .broadcast_add(mask)?
                .reshape((kv_heads, group * rows, keys))?,
            None => scores,
        };
        let attended = softmax_last_dim(&scores)?
            .matmul(&held_values)?
            .reshape((kv_heads, group, rows, head_dim))?;
        attended.permute((2, 0, 1, 3))?.reshape((rows, kv_heads * group * head_dim))
    }
}

fn mask(
    rows: Range<usize>,
    keys: &Range<usize>,
    window: Option<usize>,
    device: &Device,
) -> Result<Option<Tensor>> {
    if rows.len() == 1 {
        // The last key is the row's own, the first the first that it sees.
        return Ok(None);
    }
    let positions = |range: Range<usize>, shift: usize| {
        Tensor::arange((range.start + shift) as u32, (range.end + shift) as u32, device)
    };
    let shape = (rows.len(), keys.len());
    let own = positions(rows.clone(), 0)?.reshape((rows.len(), 1))?;
    let hide = |hidden: &Tensor| {
        let value = |value: f32| Tensor::full(value, shape, device);
        hidden.where_cond(&value(f32::NEG_INFINITY)?, &value(0.0)?)
    };
    let later = positions(keys.clone(), 0)?.reshape((1, keys.len()))?.broadcast_gt(&own)?;
    let mut mask = hide(&later)?;
    if let Some(window) = window {
        let far = positions(keys.clone(), window)?.reshape((1, keys.len()))?.broadcast_le(&own)?;
        mask = (mask + hide(&far)?)?;
    }
    Ok(Some(mask))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{ComputeDevice, KvPool, compute_device::accelerator::Accelerator};
    use std::sync::Arc;
    use tricorn_kernels::{BlockLayout, KvFormat};

    const HEADS: usize = 4;
    const LAYOUT: KvLayout = KvLayout { kv_heads: 2, head_dim: 8 };

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 31) % 199) as f32 / 100.0 - 1.0).collect()
    }

    /// Softmax attention of one head of one row, in double precision.
    fn textbook(query: &[f32], keys: &[f32], values: &[f32], seen: Range<usize>) -> Vec<f32> {
        let dim = query.len();
        let at = |all: &[f32], pos: usize, i: usize| f64::from(all[pos * dim + i]);
        let score = |pos: usize| {
            (0..dim).map(|i| f64::from(query[i]) * at(keys, pos, i)).sum::<f64>().exp()
        };
        let sum: f64 = seen.clone().map(score).sum();
        (0..dim)
            .map(|i| {
                (seen.clone().map(|pos| score(pos) * at(values, pos, i)).sum::<f64>() / sum) as f32
            })
            .collect()
    }

    fn check(window: Option<usize>, most_scores: usize) {
        let accelerator = Accelerator::open(ComputeDevice::CandleCpu).unwrap().unwrap();
        let device = accelerator.candle();
        let (sequences, pool) = ([5..70, 0..9, 63..64, 3..3], KvPool::new(usize::MAX));
        let layout = Arc::new(BlockLayout::new([LAYOUT]));
        let KvLayout { kv_heads, head_dim } = LAYOUT;
        let mut caches = Vec::new();
        let mut held = Vec::new();
        for (index, positions) in sequences.iter().enumerate() {
            let mut kv = Kv::new(&accelerator, &layout, KvFormat::F32);
            kv.prepare(&pool, 0, positions.end, 100).unwrap();
            let count = kv_heads * positions.end * head_dim;
            let (keys, values) = (numbers(count, index), numbers(count, index + 50));
            let tensor = |numbers: &[f32]| {
                Tensor::from_slice(numbers, (kv_heads, positions.end, head_dim), device).unwrap()
            };
            kv.write(0, 0, &tensor(&keys), &tensor(&values)).unwrap();
            caches.push(kv);
            held.push((keys, values));
        }
        let rows: usize = sequences.iter().map(Range::len).sum();
        let queries = numbers(rows * HEADS * head_dim, 99);
        let plan = Plan::new(sequences.iter().cloned(), window, most_scores, device).unwrap();
        let tensor = Tensor::from_slice(&queries, (rows, HEADS, head_dim), device).unwrap();
        let found = plan.attend(0, LAYOUT, &caches.iter().collect::<Vec<_>>(), &tensor).unwrap();
        let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();

        let mut expected = Vec::new();
        let mut queries = queries.chunks_exact(head_dim);
        for (positions, (keys, values)) in sequences.iter().zip(&held) {
            for pos in positions.clone() {
                for head in 0..HEADS {
                    let own = |all: &'_ [f32]| {
                        all[head / (HEADS / kv_heads) * positions.end * head_dim..].to_vec()
                    };
                    let seen = window.map_or(0, |window| (pos + 1).saturating_sub(window))..pos + 1;
                    expected.extend(textbook(
                        queries.next().unwrap(),
                        &own(keys),
                        &own(values),
                        seen,
                    ));
                }
            }
        }
        let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
        assert!(
            found.len() == expected.len() && worst < 1e-5,
            "window {window:?}, {most_scores} scores: off by {worst}"
        );
    }

    #[test]
    fn ragged_batches_equal_the_textbook_however_they_are_cut() {
        for window in [None, Some(1), Some(10), Some(64), Some(1000)] {
            for most_scores in [1, 200, 1 << 20] {
                check(window, most_scores);
            }
        }
    }
}
