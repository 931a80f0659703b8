//! The drafter in differentiable form: [`tricorn_model::drafter`] with candle's tensors.

use candle_core::{D, Device, Tensor, Var, backprop::GradStore};
use tricorn_model::{
    ModelConfig, ModelSource,
    drafter::{TENSORS, head_dim, rope_angles},
};

use crate::{error::TrainError, rng::Rng};

/// Stream of the random numbers for initial weights.
const INIT_STREAM: u64 = u64::MAX;

/// The five tensors under training, the frozen final norm and what the forward pass needs to know.
#[derive(Debug)]
pub(crate) struct Student {
    /// As [`TENSORS`] orders them.
    variables: [Var; 5],
    final_norm: Tensor,
    config: ModelConfig,
    head_dim: usize,
    device: Device,
}

impl Student {
    /// Starts from the weights of layer `layer`, the first one that the drafter stands in for, as far as its attention has the drafter's
    /// shape (grouped keys and values are repeated); what does not fit starts random.
    pub(crate) fn new(source: &ModelSource, layer: usize, seed: u64) -> Result<Self, TrainError> {
        let (config, weights) = (source.config().clone(), source.weights());
        let (hidden, device) = (config.hidden, Device::Cpu);
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let fits = head_dim(&config) == config.head_dim && config.heads * config.head_dim == hidden;
        let mut rng = Rng::new(seed, INIT_STREAM);
        let mut projection = |part: &str, heads: usize| -> Result<Var, TrainError> {
            let values = if fits {
                let stored = weights.f32(&name(&format!("self_attn.{part}_proj.weight")), &[heads * config.head_dim, hidden])?;
                let copies = config.heads / heads;
                stored.chunks_exact(config.head_dim * hidden).flat_map(|head| head.repeat(copies)).collect()
            } else {
                let scale = (hidden as f32).sqrt().recip();
                (0..hidden * hidden).map(|_| rng.normal() * scale).collect::<Vec<f32>>()
            };
            Ok(Var::from_vec(values, (hidden, hidden), &device)?)
        };
        let (q, k, v) = (projection("q", config.heads)?, projection("k", config.kv_heads)?, projection("v", config.kv_heads)?);
        let o = projection("o", config.heads)?;
        let norm = Var::from_vec(weights.f32(&name("input_layernorm.weight"), &[hidden])?, hidden, &device)?;
        let final_norm = Tensor::from_vec(weights.f32("model.norm.weight", &[hidden])?, hidden, &device)?;
        Ok(Self { variables: [norm, q, k, v, o], final_norm, head_dim: head_dim(&config), config, device })
    }

    /// The last layer's rows (before the final norm) as the drafter guesses them, for the `rows` asked for: `rows x hidden`.
    ///
    /// `shallow` is `sequences x positions x hidden`, padded at the ends (no row sees what comes after it); `rows` are `u32` indices
    /// into its first two dimensions taken together.
    pub(crate) fn forward(&self, shallow: &Tensor, rows: &Tensor) -> candle_core::Result<Tensor> {
        let [norm, q, k, v, o] = &self.variables;
        let (sequences, positions, hidden) = shallow.dims3()?;
        let x = shallow.reshape((sequences * positions, hidden))?;
        let normed = self.rms_norm(&x, norm)?;
        let (cos, sin) = self.angles(positions)?;
        let heads = |weights: &Var, rotate: bool| {
            let y = normed.matmul(&weights.t()?)?.reshape((sequences, positions, hidden / self.head_dim, self.head_dim))?;
            let y = y.transpose(1, 2)?.contiguous()?;
            if rotate { rotate_halves(&y, &cos, &sin) } else { Ok(y) }
        };
        let scale = (self.head_dim as f64).sqrt().recip();
        let scores = (heads(q, true)?.matmul(&heads(k, true)?.t()?)? * scale)?.broadcast_add(&self.causal_mask(positions)?)?;
        let attended = softmax(&scores)?.matmul(&heads(v, false)?)?;
        let attended = attended.transpose(1, 2)?.reshape((sequences * positions, hidden))?.index_select(rows, 0)?;
        attended.matmul(&o.t()?)? + x.index_select(rows, 0)?
    }

    /// The model's frozen final norm.
    pub(crate) fn final_norm(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.rms_norm(x, &self.final_norm)
    }

    /// The tensors' values, as [`TENSORS`] orders them.
    pub(crate) fn values(&self) -> Result<Vec<Vec<f32>>, TrainError> {
        self.variables.iter().map(|variable| Ok(variable.flatten_all()?.to_vec1()?)).collect()
    }

    /// Replaces tensor number `index`.
    pub(crate) fn set(&self, index: usize, values: &[f32]) -> Result<(), TrainError> {
        let variable = &self.variables[index];
        Ok(variable.set(&Tensor::from_slice(values, variable.shape(), &self.device)?)?)
    }

    /// The gradients' values, as [`TENSORS`] orders them.
    pub(crate) fn gradients(&self, store: &GradStore) -> Result<Vec<Vec<f32>>, TrainError> {
        let gradient = |variable: &Var| match store.get(variable) {
            Some(gradient) => Ok(gradient.flatten_all()?.to_vec1()?),
            None => Ok(vec![0.0; variable.elem_count()]),
        };
        self.variables.iter().map(gradient).collect()
    }

    /// Shapes, as [`TENSORS`] orders them.
    pub(crate) fn shapes(&self) -> [(&'static str, Vec<usize>); 5] {
        std::array::from_fn(|i| (TENSORS[i], self.variables[i].dims().to_vec()))
    }

    fn rms_norm(&self, x: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
        let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + f64::from(self.config.norm_eps))?.sqrt()?;
        x.broadcast_div(&scale)?.broadcast_mul(weight)
    }

    fn angles(&self, positions: usize) -> candle_core::Result<(Tensor, Tensor)> {
        let (cos, sin) = rope_angles(&self.config, 0..positions);
        let tensor = |values| Tensor::from_vec(values, (positions, self.head_dim / 2), &self.device);
        Ok((tensor(cos)?, tensor(sin)?))
    }

    /// 0 where a row may look, a large negative number elsewhere: `positions x positions`.
    fn causal_mask(&self, positions: usize) -> candle_core::Result<Tensor> {
        let mask = (0..positions).flat_map(|row| (0..positions).map(move |column| if column > row { -1e30_f32 } else { 0.0 })).collect();
        Tensor::from_vec::<_, f32>(mask, (positions, positions), &self.device)
    }
}

/// Rotates pairs `(i, i + head_dim / 2)`; `cos` and `sin` are `positions x head_dim / 2`.
fn rotate_halves(x: &Tensor, cos: &Tensor, sin: &Tensor) -> candle_core::Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    let (a, b) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
    let first = (a.broadcast_mul(cos)? - b.broadcast_mul(sin)?)?;
    let second = (b.broadcast_mul(cos)? + a.broadcast_mul(sin)?)?;
    Tensor::cat(&[first, second], D::Minus1)
}

/// candle's own softmax has no backward pass.
fn softmax(x: &Tensor) -> candle_core::Result<Tensor> {
    let shifted = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
    shifted.broadcast_div(&shifted.sum_keepdim(D::Minus1)?)
}

