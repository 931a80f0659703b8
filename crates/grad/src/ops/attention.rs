//! Attention of one head over a sequence, and over rows that were unrolled beyond it.
//!
//! Query row `i` sees the sequence's keys up to row `start + i`, the nearest `window` of them where
//! there is one. Without unrolled keys that is plain causal attention.
//!
//! Of each unrolled step it also sees the one key of row `i`. That is the mask of EAGLE-3's
//! training-time test (arXiv 2503.01840), where row `i` of every step belongs to the round that
//! drafts from row `start + i`.
//!
//! With `p = softmax(q k^T / sqrt(dim))` and `y = p v`, the backward pass is `dv = p^T dy`,
//! `ds = p * (dy v^T - sum(p * dy v^T)) / sqrt(dim)`, `dq = ds k` and `dk = ds^T q`.

pub mod grouped;

use std::ops::Range;

use tricorn_kernels::{
    linear::transposed::{Packed, transposed_product},
    rows::softmax,
};

use super::{add, add_scaled, dot, flush};

/// Query rows that are handled together: what is above a block's diagonal is not computed.
pub(crate) const BLOCK: usize = 128;

/// One head's keys and values, `rows x dim` each.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// Rotated keys.
    pub k: &'a [f32],
    /// Values.
    pub v: &'a [f32],
}

/// What one head looks at.
#[derive(Debug)]
pub struct HeadAttention<'a> {
    /// Width of the head.
    pub dim: usize,
    /// The sequence's row that query row 0 stands on.
    pub start: usize,
    /// How many rows of the sequence a query sees, its own included; `None` for all.
    pub window: Option<usize>,
    /// The sequence's keys and values.
    pub sequence: Keys<'a>,
    /// Keys of the unrolled steps, at least as many rows each as there are queries.
    pub unrolled: Vec<Keys<'a>>,
}

/// Attention weights of the blocks of query rows, each `block x keys that the block sees`, and of
/// the unrolled keys, `rows x steps`.
#[derive(Debug)]
pub struct AttentionWeights {
    sequence: Vec<Vec<f32>>,
    unrolled: Vec<f32>,
}

/// Gradients of keys and values, `rows x dim` each.
#[derive(Clone, Debug)]
pub struct KeyGradients {
    /// Of the rotated keys.
    pub k: Vec<f32>,
    /// Of the values.
    pub v: Vec<f32>,
}

impl KeyGradients {
    /// No gradient yet, for so many numbers.
    #[must_use]
    pub fn zero(values: usize) -> Self {
        Self { k: vec![0.0; values], v: vec![0.0; values] }
    }
}

impl HeadAttention<'_> {
    /// The outputs for rotated queries, `rows x dim`, and the weights that
    /// [`HeadAttention::backward`] needs.
    #[must_use]
    pub fn forward(&self, q: &[f32]) -> (Vec<f32>, AttentionWeights) {
        let (dim, steps) = (self.dim, self.unrolled.len());
        let rows = q.len() / dim;
        let mut output = Vec::with_capacity(q.len());
        let mut weights =
            AttentionWeights { sequence: Vec::new(), unrolled: vec![0.0; rows * steps] };
        let mut row_scores = Vec::new();
        for block in blocks(rows) {
            let keys = self.keys(&block);
            let values = keys.start * dim..keys.end * dim;
            let mut p = Packed::transposed(&self.sequence.k[values.clone()], dim)
                .times(&q[block.start * dim..block.end * dim]);
            for (row, scores) in block.clone().zip(p.chunks_exact_mut(keys.len())) {
                let (past, future) = scores.split_at_mut(self.start + row + 1 - keys.start);
                let (gone, seen) = past.split_at_mut(self.first(row) - keys.start);
                let own = &q[row * dim..][..dim];
                row_scores.clear();
                row_scores.extend_from_slice(seen);
                row_scores
                    .extend(self.unrolled.iter().map(|keys| dot(own, &keys.k[row * dim..][..dim])));
                row_scores.iter_mut().for_each(|s| *s *= self.scale());
                softmax(&mut row_scores);
                row_scores.iter_mut().for_each(|p| *p = flush(*p));
                let (sequence, unrolled) = row_scores.split_at(seen.len());
                seen.copy_from_slice(sequence);
                gone.fill(0.0);
                future.fill(0.0);
                weights.unrolled[row * steps..][..steps].copy_from_slice(unrolled);
            }
            output.extend(Packed::new(&self.sequence.v[values], dim).times(&p));
            weights.sequence.push(p);
        }
        for (row, output) in output.chunks_exact_mut(dim).enumerate() {
            for (keys, weight) in self.unrolled.iter().zip(&weights.unrolled[row * steps..]) {
                add_scaled(output, *weight, &keys.v[row * dim..][..dim]);
            }
        }
        (output, weights)
    }

    /// The gradient of the queries, given that of the outputs; adds those of the keys and values to
    /// `sequence` and `unrolled`.
    #[must_use]
    pub fn backward(
        &self,
        q: &[f32],
        weights: &AttentionWeights,
        d_output: &[f32],
        sequence: &mut KeyGradients,
        unrolled: &mut [&mut KeyGradients],
    ) -> Vec<f32> {
        let (dim, steps) = (self.dim, self.unrolled.len());
        let mut d_query = Vec::with_capacity(q.len());
        for (block, p) in blocks(q.len() / dim).zip(&weights.sequence) {
            let keys = self.keys(&block);
            let values = keys.start * dim..keys.end * dim;
            let range = block.start * dim..block.end * dim;
            let (q, d_output) = (&q[range.clone()], &d_output[range]);
            let p_unrolled = &weights.unrolled[block.start * steps..block.end * steps];
            let mut ds = Packed::transposed(&self.sequence.v[values.clone()], dim).times(d_output);
            let ds_unrolled =
                self.score_gradients(&block, keys.len(), d_output, (p, p_unrolled), &mut ds);
            let mut d_rows = Packed::new(&self.sequence.k[values.clone()], dim).times(&ds);
            add(&mut sequence.k[values.clone()], &transposed_product(&ds, keys.len(), q, dim));
            add(&mut sequence.v[values], &transposed_product(p, keys.len(), d_output, dim));
            for (index, row) in block.enumerate() {
                let here = index * dim..(index + 1) * dim;
                let there = row * dim..(row + 1) * dim;
                for (step, (keys, gradients)) in
                    self.unrolled.iter().zip(unrolled.iter_mut()).enumerate()
                {
                    let at = index * steps + step;
                    let (ds, p) = (ds_unrolled[at], p_unrolled[at]);
                    add_scaled(&mut d_rows[here.clone()], ds, &keys.k[there.clone()]);
                    add_scaled(&mut gradients.k[there.clone()], ds, &q[here.clone()]);
                    add_scaled(&mut gradients.v[there.clone()], p, &d_output[here.clone()]);
                }
            }
            d_query.extend(d_rows);
        }
        d_query
    }

    /// Turns a block's `ds`, which comes in as `dy v^T`, into the gradient of its scores; returns
    /// that of the unrolled scores.
    fn score_gradients(
        &self,
        block: &Range<usize>,
        keys: usize,
        d_output: &[f32],
        (p, p_unrolled): (&[f32], &[f32]),
        ds: &mut [f32],
    ) -> Vec<f32> {
        let (dim, steps) = (self.dim, self.unrolled.len());
        let mut all_unrolled = Vec::with_capacity(block.len() * steps);
        for (index, ((d_output, ds), p)) in d_output
            .chunks_exact(dim)
            .zip(ds.chunks_exact_mut(keys))
            .zip(p.chunks_exact(keys))
            .enumerate()
        {
            let row = block.start + index;
            let p_unrolled = &p_unrolled[index * steps..][..steps];
            let from = all_unrolled.len();
            all_unrolled.extend(
                self.unrolled.iter().map(|keys| dot(d_output, &keys.v[row * dim..][..dim])),
            );
            let ds_unrolled = &mut all_unrolled[from..];
            // The gradient of softmax: `p * (d - sum(d * p))`; where `p` is zero so is the result.
            let sum = dot(ds, p) + dot(ds_unrolled, p_unrolled);
            let scale = |d: &mut f32, p: &f32| *d = p * (*d - sum) * self.scale();
            ds.iter_mut().zip(p).for_each(|(d, p)| scale(d, p));
            ds_unrolled.iter_mut().zip(p_unrolled).for_each(|(d, p)| scale(d, p));
        }
        all_unrolled
    }

    /// The first row of the sequence that query row `row` sees.
    fn first(&self, row: usize) -> usize {
        self.window.map_or(0, |window| (self.start + row + 1).saturating_sub(window))
    }

    /// The rows of the sequence that a block of query rows sees.
    fn keys(&self, block: &Range<usize>) -> Range<usize> {
        self.first(block.start)..self.start + block.end
    }

    fn scale(&self) -> f32 {
        (self.dim as f32).sqrt().recip()
    }
}

fn blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(BLOCK).map(move |start| start..(start + BLOCK).min(rows))
}
