//! The feed-forward half of a decoder block: `y + silu(m Wg^T) * (m Wu^T) Wd^T` with `m = norm(y)`.

use tricorn_model::{ModelConfig, drafter::intermediate};

use super::{Matrix, add, norm_gradient, norm_rows, rms_norm_backward};
use crate::student::BlockTensors;

#[derive(Debug)]
pub(super) struct Mlp<'a> {
    norm: &'a [f32],
    eps: f32,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
}

/// What the backward pass needs from the forward pass.
#[derive(Debug)]
pub(super) struct MlpTrace {
    y: Vec<f32>,
    unit: Vec<f32>,
    normed: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    inner: Vec<f32>,
}

/// The gradients of the weights.
#[derive(Debug)]
pub(super) struct MlpGradients {
    pub(super) norm: Vec<f32>,
    pub(super) gate: Vec<f32>,
    pub(super) up: Vec<f32>,
    pub(super) down: Vec<f32>,
}

impl<'a> Mlp<'a> {
    pub(super) fn new(config: &ModelConfig, tensors: &'a BlockTensors) -> Self {
        Self {
            norm: &tensors.mlp_norm,
            eps: config.norm_eps,
            gate: Matrix::new(&tensors.gate, config.hidden),
            up: Matrix::new(&tensors.up, config.hidden),
            down: Matrix::new(&tensors.down, intermediate(config)),
        }
    }

    pub(super) fn forward(&self, y: Vec<f32>) -> (Vec<f32>, MlpTrace) {
        let (unit, normed) = norm_rows(&y, self.norm, self.eps);
        let (gate, up) = (self.gate.apply(&normed), self.up.apply(&normed));
        let inner: Vec<f32> = gate.iter().zip(&up).map(|(&g, u)| g * sigmoid(g) * u).collect();
        let mut out = self.down.apply(&inner);
        add(&mut out, &y);
        (out, MlpTrace { y, unit, normed, gate, up, inner })
    }

    /// The gradient of `y`, given that of the output, and those of the weights.
    pub(super) fn backward(&self, trace: &MlpTrace, d_out: &[f32]) -> (Vec<f32>, MlpGradients) {
        let d_inner = self.down.back(d_out);
        let (mut d_gate, mut d_up) =
            (Vec::with_capacity(d_inner.len()), Vec::with_capacity(d_inner.len()));
        for ((d, &g), u) in d_inner.iter().zip(&trace.gate).zip(&trace.up) {
            let s = sigmoid(g);
            d_gate.push(d * u * s * (1.0 + g * (1.0 - s)));
            d_up.push(d * g * s);
        }
        let mut d_normed = self.gate.back(&d_gate);
        add(&mut d_normed, &self.up.back(&d_up));
        let mut d_y = rms_norm_backward(&trace.y, self.norm, self.eps, &d_normed);
        add(&mut d_y, d_out);
        let gradients = MlpGradients {
            norm: norm_gradient(&d_normed, &trace.unit, self.norm.len()),
            gate: self.gate.gradient(&d_gate, &trace.normed),
            up: self.up.gradient(&d_up, &trace.normed),
            down: self.down.gradient(d_out, &trace.inner),
        };
        (d_y, gradients)
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
