//! The feed-forward half of a decoder layer.

use super::{
    scratch::{Scratch, add_rows, norm_rows, sized},
    tensors::MlpTensors,
};
use crate::{error::ModelError, source::ModelSource};
use tricorn_kernels::{
    Linear,
    rows::{spread_rows, swiglu},
};

/// The feed-forward half: norm and SwiGLU.
#[derive(Debug)]
pub(crate) struct Mlp {
    pub(crate) norm: Vec<f32>,
    pub(crate) gate_up: Linear,
    pub(crate) down: Linear,
    pub(crate) intermediate: usize,
    pub(crate) norm_eps: f32,
}

impl Mlp {
    pub(super) fn load(source: &ModelSource, layer: usize) -> Result<Self, ModelError> {
        let (config, tensors) = (source.config(), MlpTensors::read(source, layer)?);
        Ok(Self {
            norm: tensors.norm,
            gate_up: source.linear(
                &tensors.gate_up.parts,
                tensors.gate_up.inputs,
                tensors.gate_up.bias,
            )?,
            down: source.linear(&tensors.down.parts, tensors.down.inputs, tensors.down.bias)?,
            intermediate: config.layer(layer).intermediate,
            norm_eps: config.norm_eps,
        })
    }

    /// Norms the rows and computes `silu(gate) * up`; leaves both in the scratch (`rows x hidden`
    /// and `rows x intermediate`).
    pub(crate) fn activate(&self, x: &[f32], scratch: &mut Scratch) {
        let Scratch { normed, wide, inner } = scratch;
        norm_rows(x, &self.norm, self.norm_eps, sized(normed, x.len()));
        let (n, rows) = (self.intermediate, x.len() / self.norm.len());
        let gate_up = sized(wide, rows * 2 * n);
        self.gate_up.apply_into(normed, gate_up);
        let inner = sized(inner, rows * n);
        spread_rows(inner, n, |first, inner| swiglu(&gate_up[first * 2 * n..], n, inner));
    }

    /// Projects them down and adds the result to the residual stream `x` (`rows x hidden`).
    pub(crate) fn add_output(&self, x: &mut [f32], scratch: &mut Scratch) {
        let Scratch { normed, inner, .. } = scratch;
        self.down.apply_into(inner, normed);
        add_rows(x, normed, self.norm.len());
    }

    /// Adds the block's output to the residual stream `x` (`rows x hidden`).
    pub(crate) fn forward(&self, x: &mut [f32], scratch: &mut Scratch) {
        self.activate(x, scratch);
        self.add_output(x, scratch);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.gate_up.bytes() + self.down.bytes() + self.norm.len() * 4
    }
}
