//! The feed-forward half of a decoder block: `y + silu(m Wg^T) * (m Wu^T) Wd^T` with `m = norm(y)`.

use tricorn_grad::ops::{add, linear::PackedWeight, norm, swiglu};
use tricorn_model::{ModelConfig, drafter::intermediate};

use crate::student::tensors::BlockTensors;

#[derive(Debug)]
pub(super) struct Mlp<'a> {
    norm: &'a [f32],
    eps: f32,
    gate: PackedWeight,
    up: PackedWeight,
    down: PackedWeight,
}

/// Activations of the forward pass that the backward pass reads.
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
            gate: PackedWeight::new(&tensors.gate, config.hidden),
            up: PackedWeight::new(&tensors.up, config.hidden),
            down: PackedWeight::new(&tensors.down, intermediate(config)),
        }
    }

    pub(super) fn forward(&self, y: Vec<f32>) -> (Vec<f32>, MlpTrace) {
        let (unit, normed) = norm::forward(&y, self.norm, self.eps);
        let (gate, up) = (self.gate.forward(&normed), self.up.forward(&normed));
        let inner = swiglu::forward(&gate, &up);
        let mut out = self.down.forward(&inner);
        add(&mut out, &y);
        (out, MlpTrace { y, unit, normed, gate, up, inner })
    }

    /// The gradient of `y`, given that of the output, and those of the weights.
    pub(super) fn backward(&self, trace: &MlpTrace, d_out: &[f32]) -> (Vec<f32>, MlpGradients) {
        let d_inner = self.down.input_gradient(d_out);
        let (d_gate, d_up) = swiglu::backward(&trace.gate, &trace.up, &d_inner);
        let mut d_normed = self.gate.input_gradient(&d_gate);
        add(&mut d_normed, &self.up.input_gradient(&d_up));
        let mut d_y = norm::input_gradient(&trace.y, self.norm, self.eps, &d_normed);
        add(&mut d_y, d_out);
        let gradients = MlpGradients {
            norm: norm::weight_gradient(&d_normed, &trace.unit, self.norm.len()),
            gate: self.gate.weight_gradient(&d_gate, &trace.normed),
            up: self.up.weight_gradient(&d_up, &trace.normed),
            down: self.down.weight_gradient(d_out, &trace.inner),
        };
        (d_y, gradients)
    }
}
