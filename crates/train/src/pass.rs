//! The drafter's forward pass and the gradients of its weights, written out for one sequence at a time.
//!
//! With `u = x / rms(x)`, `n = u * norm`, heads `q = R n Wq^T`, `k = R n Wk^T`, `v = n Wv^T` (`R` is the rotary embedding), and
//! `p = softmax(q k^T / sqrt(head_dim))` under the causal mask, the drafter's row is `y = x + (p v) Wo^T`. The backward pass is the chain
//! rule over these lines. Only five matrices are trained and `x` needs no gradient, so that this is short, and it runs on the model's own
//! kernels; sequences run in parallel.

use std::ops::Range;

use tricorn_model::{
    ModelConfig,
    dense::{Packed, softmax, transposed_product},
    drafter::{head_dim, rope_angles},
};

use crate::student::Tensors;

/// Query rows that attention handles together: what is above a block's diagonal is not computed.
const BLOCK: usize = 128;

/// The weights of one step, packed for both directions.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    config: &'a ModelConfig,
    head_dim: usize,
    norm: &'a [f32],
    /// q, k, v, o: for `x W^T`.
    forward: [Packed; 4],
    /// q, k, v, o: for `x W`.
    backward: [Packed; 4],
}

/// What the backward pass needs from the forward pass.
#[derive(Debug)]
pub(crate) struct Trace {
    first: usize,
    /// `x / rms(x)`, all rows.
    unit: Vec<f32>,
    /// `unit * norm`, all rows.
    normed: Vec<f32>,
    /// Heads one after the other, each `rows x head_dim`: q of the rows from `first` on, k and v of all rows; rotated.
    q: Vec<Vec<f32>>,
    k: Vec<Vec<f32>>,
    v: Vec<Vec<f32>>,
    /// Attention weights of each head and block of query rows: `block x (first + end of block)`.
    weights: Vec<Vec<Vec<f32>>>,
    /// The heads' outputs side by side, rows from `first` on.
    attended: Vec<f32>,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(config: &'a ModelConfig, tensors: &'a Tensors) -> Self {
        let matrices = [&tensors.q, &tensors.k, &tensors.v, &tensors.o];
        Self {
            config,
            head_dim: head_dim(config),
            norm: &tensors.norm,
            forward: matrices.map(|m| Packed::transposed(m, config.hidden)),
            backward: matrices.map(|m| Packed::new(m, config.hidden)),
        }
    }

    /// The drafter's rows (before the final norm) from row `first` on, for the shallow rows of a sequence from its start.
    pub(crate) fn forward(&self, shallow: &[f32], first: usize) -> (Vec<f32>, Trace) {
        let hidden = self.config.hidden;
        let rows = shallow.len() / hidden;
        let (unit, normed) = self.norm(shallow);
        let from_first = &normed[first * hidden..];
        let [wq, wk, wv, wo] = &self.forward;
        let (mut q, mut k) = (wq.times(from_first), wk.times(&normed));
        self.rotate(&mut q, first..rows, 1.0);
        self.rotate(&mut k, 0..rows, 1.0);
        let (q, k, v) = (self.heads(&q), self.heads(&k), self.heads(&wv.times(&normed)));

        let mut weights = Vec::with_capacity(q.len());
        let mut outputs = Vec::with_capacity(q.len());
        for ((q, k), v) in q.iter().zip(&k).zip(&v) {
            let mut output = Vec::with_capacity(q.len());
            let mut blocks = Vec::new();
            for block in self.blocks(rows - first) {
                let (seen, q) = (first + block.end, self.rows_of(q, &block));
                let mut p = Packed::transposed(&k[..seen * self.head_dim], self.head_dim).times(q);
                self.causal_softmax(&mut p, first + block.start, seen);
                output.extend(Packed::new(&v[..seen * self.head_dim], self.head_dim).times(&p));
                blocks.push(p);
            }
            weights.push(blocks);
            outputs.push(output);
        }
        let attended = self.side_by_side(&outputs);
        let mut y = wo.times(&attended);
        y.iter_mut().zip(&shallow[first * hidden..]).for_each(|(y, x)| *y += x);
        (y, Trace { first, unit, normed, q, k, v, weights, attended })
    }

    /// The gradients of the weights, given the gradient of the rows that [`Pass::forward`] returned.
    pub(crate) fn backward(&self, trace: &Trace, gradient: &[f32]) -> Tensors {
        let hidden = self.config.hidden;
        let [wq, wk, wv, wo] = &self.backward;
        let rows = trace.normed.len() / hidden;
        let o = transposed_product(gradient, hidden, &trace.attended, hidden);
        let d_attended = self.heads(&wo.times(gradient));

        let (mut dq, mut dk, mut dv) = (Vec::new(), Vec::new(), Vec::new());
        for (head, d_output) in d_attended.iter().enumerate() {
            let (q, k, v) = (&trace.q[head], &trace.k[head], &trace.v[head]);
            let mut d_query = Vec::with_capacity(q.len());
            let (mut d_key, mut d_value) = (vec![0.0; k.len()], vec![0.0; v.len()]);
            for (block, p) in self.blocks(rows - trace.first).zip(&trace.weights[head]) {
                let seen = trace.first + block.end;
                let (q, d_output) = (self.rows_of(q, &block), self.rows_of(d_output, &block));
                let mut ds = Packed::transposed(&v[..seen * self.head_dim], self.head_dim).times(d_output);
                self.softmax_backward(&mut ds, p, seen);
                d_query.extend(Packed::new(&k[..seen * self.head_dim], self.head_dim).times(&ds));
                add(&mut d_key, &transposed_product(&ds, seen, q, self.head_dim));
                add(&mut d_value, &transposed_product(p, seen, d_output, self.head_dim));
            }
            dq.push(d_query);
            dk.push(d_key);
            dv.push(d_value);
        }
        let (mut dq, mut dk, dv) = (self.side_by_side(&dq), self.side_by_side(&dk), self.side_by_side(&dv));
        self.rotate(&mut dq, trace.first..rows, -1.0);
        self.rotate(&mut dk, 0..rows, -1.0);

        let q = transposed_product(&dq, hidden, &trace.normed[trace.first * hidden..], hidden);
        let k = transposed_product(&dk, hidden, &trace.normed, hidden);
        let v = transposed_product(&dv, hidden, &trace.normed, hidden);
        let mut d_normed = wk.times(&dk);
        add(&mut d_normed, &wv.times(&dv));
        add(&mut d_normed[trace.first * hidden..], &wq.times(&dq));
        let mut norm = vec![0.0; hidden];
        for (d, unit) in d_normed.chunks_exact(hidden).zip(trace.unit.chunks_exact(hidden)) {
            norm.iter_mut().zip(d).zip(unit).for_each(|((norm, d), u)| *norm += d * u);
        }
        Tensors { norm, q, k, v, o }
    }

    fn norm(&self, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let hidden = self.config.hidden;
        let mut unit = x.to_vec();
        for row in unit.chunks_exact_mut(hidden) {
            let scale = inverse_rms(row, self.config.norm_eps);
            row.iter_mut().for_each(|v| *v *= scale);
        }
        let normed = unit.chunks_exact(hidden).flat_map(|row| row.iter().zip(self.norm).map(|(u, w)| u * w)).collect();
        (unit, normed)
    }

    /// Rotates all heads of rows at `positions`, or back when `direction` is -1.
    fn rotate(&self, x: &mut [f32], positions: Range<usize>, direction: f32) {
        let half = self.head_dim / 2;
        let (cos, sin) = rope_angles(self.config, positions);
        let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        for (row, (cos, sin)) in x.chunks_exact_mut(self.config.hidden).zip(angles) {
            for head in row.chunks_exact_mut(self.head_dim) {
                let (a, b) = head.split_at_mut(half);
                for (((a, b), &c), &s) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                    let s = s * direction;
                    (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
                }
            }
        }
    }

    /// Rows of all heads side by side to one matrix for each head.
    fn heads(&self, x: &[f32]) -> Vec<Vec<f32>> {
        (0..self.config.hidden / self.head_dim)
            .map(|head| x.chunks_exact(self.config.hidden).flat_map(|row| &row[head * self.head_dim..][..self.head_dim]).copied().collect())
            .collect()
    }

    fn side_by_side(&self, heads: &[Vec<f32>]) -> Vec<f32> {
        let mut x = vec![0.0; heads.iter().map(Vec::len).sum()];
        for (index, head) in heads.iter().enumerate() {
            for (row, values) in x.chunks_exact_mut(self.config.hidden).zip(head.chunks_exact(self.head_dim)) {
                row[index * self.head_dim..][..self.head_dim].copy_from_slice(values);
            }
        }
        x
    }

    fn blocks(&self, rows: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        (0..rows).step_by(BLOCK).map(move |start| start..(start + BLOCK).min(rows))
    }

    fn rows_of<'x>(&self, x: &'x [f32], rows: &Range<usize>) -> &'x [f32] {
        &x[rows.start * self.head_dim..rows.end * self.head_dim]
    }

    fn scale(&self) -> f32 {
        (self.head_dim as f32).sqrt().recip()
    }

    /// Scores to weights, in place; the first row is at position `pos`, rows are `seen` wide.
    fn causal_softmax(&self, scores: &mut [f32], pos: usize, seen: usize) {
        for (row, scores) in scores.chunks_exact_mut(seen).enumerate() {
            let (past, future) = scores.split_at_mut(pos + row + 1);
            past.iter_mut().for_each(|s| *s *= self.scale());
            softmax(past);
            past.iter_mut().for_each(|p| *p = flush(*p));
            future.fill(0.0);
        }
    }

    /// The gradient of weights `p` to that of the scores, in place: `p * (d - sum(d * p))`, scaled. Where `p` is zero so is the result.
    fn softmax_backward(&self, d: &mut [f32], p: &[f32], seen: usize) {
        for (d, p) in d.chunks_exact_mut(seen).zip(p.chunks_exact(seen)) {
            let dot: f32 = d.iter().zip(p).map(|(d, p)| d * p).sum();
            d.iter_mut().zip(p).for_each(|(d, p)| *d = p * (*d - dot) * self.scale());
        }
    }
}

/// The gradient of rows `x`, given the gradient of `x / rms(x) * weight`.
pub(crate) fn rms_norm_backward(x: &[f32], weight: &[f32], eps: f32, gradient: &[f32]) -> Vec<f32> {
    let width = weight.len();
    let mut result = Vec::with_capacity(x.len());
    for (x, gradient) in x.chunks_exact(width).zip(gradient.chunks_exact(width)) {
        let scale = inverse_rms(x, eps);
        let dot: f32 = x.iter().zip(gradient).zip(weight).map(|((x, g), w)| x * g * w).sum();
        let pull = scale * scale * dot / width as f32;
        result.extend(x.iter().zip(gradient).zip(weight).map(|((x, g), w)| scale * (g * w - x * pull)));
    }
    result
}

/// Zero for what is too small to matter: products of tiny numbers are denormal, and those are a hundred times slower to compute with.
pub(crate) fn flush(value: f32) -> f32 {
    if value.abs() < 1e-18 { 0.0 } else { value }
}

fn inverse_rms(row: &[f32], eps: f32) -> f32 {
    let mean = row.iter().map(|v| v * v).sum::<f32>() / row.len() as f32;
    (mean + eps).sqrt().recip()
}

fn add(sum: &mut [f32], more: &[f32]) {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

#[cfg(test)]
#[path = "pass/tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
