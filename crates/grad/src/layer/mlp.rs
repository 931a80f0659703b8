//! The feed-forward half of a decoder layer: norm and SwiGLU.

use tricorn_model::ModelSource;

use super::config::LayerConfig;
use crate::{
    dense::{Dense, Norm},
    error::GradError,
    ops::{add, swiglu},
    parameters::{Gradients, Parameters, Tensor},
};

#[derive(Debug)]
pub(super) struct MlpHalf {
    norm: Norm,
    gate: Dense,
    up: Dense,
    down: Dense,
}

/// Inner activations, `rows x` the width of each.
struct MlpTrace {
    unit: Vec<f32>,
    normed: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    inner: Vec<f32>,
}

impl MlpHalf {
    pub(super) fn load(
        source: &ModelSource,
        prefix: &str,
        config: LayerConfig,
    ) -> Result<Self, GradError> {
        let (hidden, inner, eps) = (config.hidden, config.intermediate, config.norm_eps);
        let projection = |which: &str, size| {
            Dense::load(source, format!("{prefix}.mlp.{which}_proj"), size, config.mlp_bias)
        };
        Ok(Self {
            norm: Norm::load(source, format!("{prefix}.post_attention_layernorm"), hidden, eps)?,
            gate: projection("gate", (inner, hidden))?,
            up: projection("up", (inner, hidden))?,
            down: projection("down", (hidden, inner))?,
        })
    }

    /// `y + mlp(y)`.
    pub(super) fn forward(&self, parameters: &Parameters, y: &[f32]) -> Vec<f32> {
        let mut out = self.down.forward(parameters, &self.trace(parameters, y).inner);
        add(&mut out, y);
        out
    }

    /// The gradient of `y`, given that of `y + mlp(y)`.
    pub(super) fn backward(
        &self,
        parameters: &Parameters,
        y: &[f32],
        gradient: &[f32],
        gradients: &mut Gradients,
    ) -> Vec<f32> {
        let trace = self.trace(parameters, y);
        let d_inner = self.down.backward(parameters, &trace.inner, gradient, gradients);
        let (d_gate, d_up) = swiglu::backward(&trace.gate, &trace.up, &d_inner);
        let mut d_normed = self.gate.backward(parameters, &trace.normed, &d_gate, gradients);
        add(&mut d_normed, &self.up.backward(parameters, &trace.normed, &d_up, gradients));
        let mut d_y = self.norm.backward(parameters, (y, &trace.unit), &d_normed, gradients);
        add(&mut d_y, gradient);
        d_y
    }

    fn trace(&self, parameters: &Parameters, y: &[f32]) -> MlpTrace {
        let (unit, normed) = self.norm.forward(parameters, y);
        let gate = self.gate.forward(parameters, &normed);
        let up = self.up.forward(parameters, &normed);
        let inner = swiglu::forward(&gate, &up);
        MlpTrace { unit, normed, gate, up, inner }
    }

    pub(super) fn dense(&self) -> [&Dense; 3] {
        [&self.gate, &self.up, &self.down]
    }

    pub(super) fn dense_mut(&mut self) -> [&mut Dense; 3] {
        [&mut self.gate, &mut self.up, &mut self.down]
    }

    pub(super) fn tensors_mut(&mut self) -> Vec<(String, Vec<usize>, &mut Tensor)> {
        let mut tensors = vec![self.norm.tensor_mut()];
        for dense in [&mut self.gate, &mut self.up, &mut self.down] {
            tensors.extend(dense.tensors_mut());
        }
        tensors
    }

    pub(super) fn is_trained(&self) -> bool {
        self.norm.is_trained() || self.dense().into_iter().any(Dense::is_trained)
    }
}
