//! Attention of one head over a sequence, and over the rows that a drafter has unrolled beyond it.
//!
//! Query row `i` sees the sequence's keys up to row `start + i`, and of each unrolled step before
//! and including its own the one key of row `i`: that is the mask of EAGLE-3's training-time test
//! (arXiv 2503.01840), where row `i` of every step belongs to the round that drafts from row
//! `start + i`. Without unrolled keys it is plain causal attention.

use std::ops::Range;

use tricorn_kernels::{
    linear::transposed::{Packed, transposed_product},
    rows::softmax,
};

use super::{add, flush};

/// Query rows that are handled together: what is above a block's diagonal is not computed.
const BLOCK: usize = 128;

/// One head's keys and values, `rows x dim` each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys<'a> {
    pub(super) k: &'a [f32],
    pub(super) v: &'a [f32],
}

/// What one head looks at.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) dim: usize,
    /// The sequence's row that query row 0 stands on.
    pub(super) start: usize,
    pub(super) sequence: Keys<'a>,
    /// Keys of the unrolled steps, at least as many rows each as there are queries.
    pub(super) unrolled: Vec<Keys<'a>>,
}

/// Attention weights of the blocks of query rows, each `block x (start + end of block)`, and of the
/// unrolled keys, `rows x steps`.
#[derive(Debug)]
pub(super) struct Weights {
    sequence: Vec<Vec<f32>>,
    unrolled: Vec<f32>,
}

/// Gradients of keys and values.
#[derive(Clone, Debug)]
pub(super) struct KeyGradients {
    pub(super) k: Vec<f32>,
    pub(super) v: Vec<f32>,
}

impl KeyGradients {
    pub(super) fn zero(values: usize) -> Self {
        Self { k: vec![0.0; values], v: vec![0.0; values] }
    }
}

impl Seen<'_> {
    /// The outputs for rotated queries, `rows x dim`.
    pub(super) fn forward(&self, q: &[f32]) -> (Vec<f32>, Weights) {
        let (dim, steps) = (self.dim, self.unrolled.len());
        let rows = q.len() / dim;
        let mut output = Vec::with_capacity(q.len());
        let mut weights = Weights { sequence: Vec::new(), unrolled: vec![0.0; rows * steps] };
        let mut row_scores = Vec::new();
        for block in blocks(rows) {
            let seen = self.start + block.end;
            let mut p = Packed::transposed(&self.sequence.k[..seen * dim], dim)
                .times(&q[block.start * dim..block.end * dim]);
            for (row, scores) in block.clone().zip(p.chunks_exact_mut(seen)) {
                let (past, future) = scores.split_at_mut(self.start + row + 1);
                let own = &q[row * dim..][..dim];
                row_scores.clear();
                row_scores.extend_from_slice(past);
                row_scores
                    .extend(self.unrolled.iter().map(|keys| dot(own, &keys.k[row * dim..][..dim])));
                row_scores.iter_mut().for_each(|s| *s *= self.scale());
                softmax(&mut row_scores);
                row_scores.iter_mut().for_each(|p| *p = flush(*p));
                let (sequence, unrolled) = row_scores.split_at(past.len());
                past.copy_from_slice(sequence);
                future.fill(0.0);
                weights.unrolled[row * steps..][..steps].copy_from_slice(unrolled);
            }
            output.extend(Packed::new(&self.sequence.v[..seen * dim], dim).times(&p));
            weights.sequence.push(p);
        }
        for (row, output) in output.chunks_exact_mut(dim).enumerate() {
            for (keys, weight) in self.unrolled.iter().zip(&weights.unrolled[row * steps..]) {
                axpy(output, *weight, &keys.v[row * dim..][..dim]);
            }
        }
        (output, weights)
    }

    /// The gradient of the queries, given that of the outputs; adds those of the keys and values to
    /// `sequence` and `unrolled`.
    pub(super) fn backward(
        &self,
        q: &[f32],
        weights: &Weights,
        d_output: &[f32],
        sequence: &mut KeyGradients,
        unrolled: &mut [&mut KeyGradients],
    ) -> Vec<f32> {
        let (dim, steps) = (self.dim, self.unrolled.len());
        let mut d_query = Vec::with_capacity(q.len());
        for (block, p) in blocks(q.len() / dim).zip(&weights.sequence) {
            let seen = self.start + block.end;
            let range = block.start * dim..block.end * dim;
            let (q, d_output) = (&q[range.clone()], &d_output[range]);
            let mut ds = Packed::transposed(&self.sequence.v[..seen * dim], dim).times(d_output);
            let mut ds_unrolled = Vec::with_capacity(block.len() * steps);
            for ((row, d_output), (ds, p)) in block
                .clone()
                .zip(d_output.chunks_exact(dim))
                .zip(ds.chunks_exact_mut(seen).zip(p.chunks_exact(seen)))
            {
                let p_unrolled = &weights.unrolled[row * steps..][..steps];
                let from = ds_unrolled.len();
                ds_unrolled.extend(
                    self.unrolled.iter().map(|keys| dot(d_output, &keys.v[row * dim..][..dim])),
                );
                let ds_unrolled = &mut ds_unrolled[from..];
                // The gradient of softmax: `p * (d - sum(d * p))`; where `p` is zero so is the
                // result.
                let sum = dot(ds, p) + dot(ds_unrolled, p_unrolled);
                let scale = |d: &mut f32, p: &f32| *d = p * (*d - sum) * self.scale();
                ds.iter_mut().zip(p).for_each(|(d, p)| scale(d, p));
                ds_unrolled.iter_mut().zip(p_unrolled).for_each(|(d, p)| scale(d, p));
            }
            let mut d_rows = Packed::new(&self.sequence.k[..seen * dim], dim).times(&ds);
            add(&mut sequence.k, &transposed_product(&ds, seen, q, dim));
            add(&mut sequence.v, &transposed_product(p, seen, d_output, dim));
            for (index, row) in block.enumerate() {
                let here = index * dim..(index + 1) * dim;
                let there = row * dim..(row + 1) * dim;
                for (step, (keys, gradients)) in
                    self.unrolled.iter().zip(unrolled.iter_mut()).enumerate()
                {
                    let (ds, p) =
                        (ds_unrolled[index * steps + step], weights.unrolled[row * steps + step]);
                    axpy(&mut d_rows[here.clone()], ds, &keys.k[there.clone()]);
                    axpy(&mut gradients.k[there.clone()], ds, &q[here.clone()]);
                    axpy(&mut gradients.v[there.clone()], p, &d_output[here.clone()]);
                }
            }
            d_query.extend(d_rows);
        }
        d_query
    }

    fn scale(&self) -> f32 {
        (self.dim as f32).sqrt().recip()
    }
}

fn blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(BLOCK).map(move |start| start..(start + BLOCK).min(rows))
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `y += factor * x`.
fn axpy(y: &mut [f32], factor: f32, x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x);
}
