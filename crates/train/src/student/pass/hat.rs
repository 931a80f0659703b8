//! HAT's adapter.
//!
//! With `u = x / rms(x)`, `n = u * norm`, heads `q = R n Wq^T`, `k = R n Wk^T`, `v = n Wv^T` (`R`
//! is the rotary embedding), and `p = softmax(q k^T / sqrt(head_dim))` under the causal mask, the
//! drafter's row is `y = x + (p v) Wo^T`. Only five matrices are trained and `x` needs no gradient.

use tricorn_grad::ops::{
    add,
    attention::{AttentionWeights, HeadAttention, KeyGradients, Keys},
    linear::PackedWeight,
    norm,
};
use tricorn_model::ModelConfig;

use super::heads::Heads;
use crate::student::tensors::{AttentionTensors, Tensors};

/// The weights of one step, packed for both directions.
#[derive(Debug)]
pub(super) struct HatPass<'a> {
    config: &'a ModelConfig,
    heads: Heads<'a>,
    norm: &'a [f32],
    q: PackedWeight,
    k: PackedWeight,
    v: PackedWeight,
    o: PackedWeight,
}

/// Activations of the forward pass that the backward pass reads.
#[derive(Debug)]
pub(super) struct HatTrace {
    first: usize,
    /// `x / rms(x)`, all rows.
    unit: Vec<f32>,
    /// `unit * norm`, all rows.
    normed: Vec<f32>,
    /// Heads one after the other, each `rows x head_dim`: q of the rows from `first` on, k and v of
    /// all rows; rotated.
    q: Vec<Vec<f32>>,
    k: Vec<Vec<f32>>,
    v: Vec<Vec<f32>>,
    /// Attention weights of each head.
    weights: Vec<AttentionWeights>,
    /// The heads' outputs side by side, rows from `first` on.
    attended: Vec<f32>,
}

impl<'a> HatPass<'a> {
    pub(super) fn new(config: &'a ModelConfig, tensors: &'a AttentionTensors) -> Self {
        let square = |values: &[f32]| PackedWeight::new(values, config.hidden);
        Self {
            config,
            heads: Heads::new(config),
            norm: &tensors.norm,
            q: square(&tensors.q),
            k: square(&tensors.k),
            v: square(&tensors.v),
            o: square(&tensors.o),
        }
    }

    /// The drafter's rows (before the final norm) from row `first` on, for the shallow rows of a
    /// sequence from its start.
    pub(super) fn forward(&self, shallow: &[f32], first: usize) -> (Vec<f32>, HatTrace) {
        let hidden = self.config.hidden;
        let rows = shallow.len() / hidden;
        let (unit, normed) = norm::forward(shallow, self.norm, self.config.norm_eps);
        let (mut q, mut k) = (self.q.forward(&normed[first * hidden..]), self.k.forward(&normed));
        self.heads.angles(first..rows).rotate(&mut q, hidden);
        self.heads.angles(0..rows).rotate(&mut k, hidden);
        let (q, k, v) = (
            self.heads.split(&q),
            self.heads.split(&k),
            self.heads.split(&self.v.forward(&normed)),
        );
        let (outputs, weights): (Vec<_>, Vec<_>) = q
            .iter()
            .zip(k.iter().zip(&v))
            .map(|(q, (k, v))| self.seen(first, Keys { k, v }).forward(q))
            .unzip();
        let attended = self.heads.join(&outputs);
        let mut y = self.o.forward(&attended);
        add(&mut y, &shallow[first * hidden..]);
        (y, HatTrace { first, unit, normed, q, k, v, weights, attended })
    }

    /// The gradients of the weights, given the gradient of the rows that [`HatPass::forward`]
    /// returned.
    pub(super) fn backward(&self, trace: &HatTrace, gradient: &[f32]) -> Tensors {
        let hidden = self.config.hidden;
        let HatTrace { first, .. } = *trace;
        let rows = trace.normed.len() / hidden;
        let o = self.o.weight_gradient(gradient, &trace.attended);
        let (mut dq, mut dk, mut dv) = (Vec::new(), Vec::new(), Vec::new());
        for (head, d_output) in
            self.heads.split(&self.o.input_gradient(gradient)).iter().enumerate()
        {
            let (q, k, v) = (&trace.q[head], &trace.k[head], &trace.v[head]);
            let mut keys = KeyGradients::zero(k.len());
            dq.push(self.seen(first, Keys { k, v }).backward(
                q,
                &trace.weights[head],
                d_output,
                &mut keys,
                &mut [],
            ));
            dk.push(keys.k);
            dv.push(keys.v);
        }
        let (mut dq, mut dk, dv) =
            (self.heads.join(&dq), self.heads.join(&dk), self.heads.join(&dv));
        self.heads.angles(first..rows).rotate_back(&mut dq, hidden);
        self.heads.angles(0..rows).rotate_back(&mut dk, hidden);

        let mut d_normed = self.k.input_gradient(&dk);
        add(&mut d_normed, &self.v.input_gradient(&dv));
        add(&mut d_normed[first * hidden..], &self.q.input_gradient(&dq));
        let attention = AttentionTensors {
            norm: norm::weight_gradient(&d_normed, &trace.unit, hidden),
            q: self.q.weight_gradient(&dq, &trace.normed[first * hidden..]),
            k: self.k.weight_gradient(&dk, &trace.normed),
            v: self.v.weight_gradient(&dv, &trace.normed),
            o,
        };
        Tensors { attention, block: None }
    }

    fn seen<'x>(&self, start: usize, sequence: Keys<'x>) -> HeadAttention<'x> {
        HeadAttention { dim: self.heads.dim, start, window: None, sequence, unrolled: Vec::new() }
    }
}
