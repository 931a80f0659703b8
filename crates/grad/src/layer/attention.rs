//! The self-attention half of a decoder layer: norm, projections, norms of queries and keys where
//! the family has them, rotary positions, attention, output projection.

use tricorn_model::{ModelSource, config::Rope};

use super::config::LayerConfig;
use crate::{
    dense::{Dense, Norm},
    error::GradError,
    ops::{add, attention::grouped::Projected, rotary::Angles},
    parameters::{Gradients, Parameters, Tensor},
    rows::Rows,
};

#[derive(Debug)]
pub(super) struct AttentionHalf {
    config: LayerConfig,
    rope: Rope,
    norm: Norm,
    q: Dense,
    k: Dense,
    v: Dense,
    o: Dense,
    /// Norms of each head's queries and keys.
    qk_norm: Option<(Norm, Norm)>,
}

/// Inner activations that the backward pass reads, `rows x` the width of each.
#[derive(Debug)]
pub(super) struct AttentionTrace {
    unit: Vec<f32>,
    normed: Vec<f32>,
    q: Rotated,
    k: Rotated,
    v: Vec<f32>,
    attended: Vec<f32>,
}

/// Queries or keys.
#[derive(Debug)]
struct Rotated {
    /// As projected, and divided by the root mean square of each head; kept where there is a norm.
    before_norm: Option<(Vec<f32>, Vec<f32>)>,
    values: Vec<f32>,
}

impl AttentionHalf {
    pub(super) fn load(
        source: &ModelSource,
        prefix: &str,
        config: LayerConfig,
    ) -> Result<Self, GradError> {
        let (hidden, eps) = (config.hidden, config.norm_eps);
        let (q, kv) = (config.query_width(), config.kv_width());
        let projection = |which: &str, size, biased| {
            Dense::load(source, format!("{prefix}.self_attn.{which}_proj"), size, biased)
        };
        let head_norm = |which: &str| {
            Norm::load(source, format!("{prefix}.self_attn.{which}_norm"), config.head_dim, eps)
        };
        let qk_norm = if config.qk_norm { Some((head_norm("q")?, head_norm("k")?)) } else { None };
        Ok(Self {
            config,
            rope: source.config().rope.clone(),
            norm: Norm::load(source, format!("{prefix}.input_layernorm"), hidden, eps)?,
            q: projection("q", (q, hidden), config.qkv_bias)?,
            k: projection("k", (kv, hidden), config.qkv_bias)?,
            v: projection("v", (kv, hidden), config.qkv_bias)?,
            o: projection("o", (hidden, q), config.o_bias)?,
            qk_norm,
        })
    }

    /// `x + attention(x)`, and what the backward pass reads.
    pub(super) fn forward(
        &self,
        parameters: &Parameters,
        rows: &Rows,
        x: &[f32],
    ) -> (Vec<f32>, AttentionTrace) {
        let angles = self.angles(rows);
        let (unit, normed) = self.norm.forward(parameters, x);
        let (q_norm, k_norm) = self.head_norms();
        let rotated = |projection: &Dense, norm: Option<&Norm>| {
            let mut values = projection.forward(parameters, &normed);
            let before_norm = norm.map(|norm| {
                let (unit, normed) = norm.forward(parameters, &values);
                (std::mem::replace(&mut values, normed), unit)
            });
            angles.rotate(&mut values, projection.outputs);
            Rotated { before_norm, values }
        };
        let (q, k) = (rotated(&self.q, q_norm), rotated(&self.k, k_norm));
        let v = self.v.forward(parameters, &normed);
        let projected = Projected { q: &q.values, k: &k.values, v: &v };
        let attended = self.config.head_shape().forward(rows.sequences(), projected);
        let mut y = self.o.forward(parameters, &attended);
        add(&mut y, x);
        (y, AttentionTrace { unit, normed, q, k, v, attended })
    }

    /// The gradient of `x`, given that of `x + attention(x)`.
    pub(super) fn backward(
        &self,
        parameters: &Parameters,
        rows: &Rows,
        x: &[f32],
        trace: &AttentionTrace,
        gradient: &[f32],
        gradients: &mut Gradients,
    ) -> Vec<f32> {
        let d_attended = self.o.backward(parameters, &trace.attended, gradient, gradients);
        let projected = Projected { q: &trace.q.values, k: &trace.k.values, v: &trace.v };
        let head_shape = self.config.head_shape();
        let d = head_shape.backward(rows.sequences(), projected, &d_attended);
        let angles = self.angles(rows);
        let (q_norm, k_norm) = self.head_norms();
        let mut projection = |dense: &Dense, norm, rotated: &Rotated, mut d: Vec<f32>| {
            angles.rotate_back(&mut d, dense.outputs);
            if let (Some(norm), Some((before, unit))) = (norm, &rotated.before_norm) {
                d = Norm::backward(norm, parameters, (before, unit), &d, gradients);
            }
            dense.backward(parameters, &trace.normed, &d, gradients)
        };
        let mut d_normed = projection(&self.q, q_norm, &trace.q, d.q);
        add(&mut d_normed, &projection(&self.k, k_norm, &trace.k, d.k));
        add(&mut d_normed, &self.v.backward(parameters, &trace.normed, &d.v, gradients));
        let mut d_x = self.norm.backward(parameters, (x, &trace.unit), &d_normed, gradients);
        add(&mut d_x, gradient);
        d_x
    }

    fn angles(&self, rows: &Rows) -> Angles {
        Angles::at(&self.rope, self.config.head_dim, rows.positions())
    }

    fn head_norms(&self) -> (Option<&Norm>, Option<&Norm>) {
        self.qk_norm.as_ref().map(|(q, k)| (q, k)).unzip()
    }

    pub(super) fn dense(&self) -> [&Dense; 4] {
        [&self.q, &self.k, &self.v, &self.o]
    }

    pub(super) fn dense_mut(&mut self) -> [&mut Dense; 4] {
        [&mut self.q, &mut self.k, &mut self.v, &mut self.o]
    }

    pub(super) fn tensors_mut(&mut self) -> Vec<(String, Vec<usize>, &mut Tensor)> {
        let mut tensors = vec![self.norm.tensor_mut()];
        for dense in [&mut self.q, &mut self.k, &mut self.v, &mut self.o] {
            tensors.extend(dense.tensors_mut());
        }
        if let Some((q, k)) = &mut self.qk_norm {
            tensors.extend([q.tensor_mut(), k.tensor_mut()]);
        }
        tensors
    }

    pub(super) fn is_trained(&self) -> bool {
        let (q, k) = self.head_norms();
        self.dense().into_iter().any(Dense::is_trained)
            || [Some(&self.norm), q, k].into_iter().flatten().any(Norm::is_trained)
    }
}
