//! The drafter under training: its five tensors, and where they start.

use tricorn_model::{ModelConfig, ModelError, ModelSource, drafter::head_dim};

use crate::rng::Rng;

/// Stream of the random numbers for initial weights.
const INIT_STREAM: u64 = u64::MAX;

/// As the drafter's file has them: the norm (`hidden`) and four projections (`hidden x hidden`).
const TENSORS: [&str; 5] = ["norm.weight", "q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight"];

/// The five tensors, or something that has a number for each of theirs: gradients, moments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensors {
    pub(crate) norm: Vec<f32>,
    pub(crate) q: Vec<f32>,
    pub(crate) k: Vec<f32>,
    pub(crate) v: Vec<f32>,
    pub(crate) o: Vec<f32>,
}

impl Tensors {
    pub(crate) fn zero(hidden: usize) -> Self {
        let square = || vec![0.0; hidden * hidden];
        Self { norm: vec![0.0; hidden], q: square(), k: square(), v: square(), o: square() }
    }

    /// As [`TENSORS`] orders them.
    pub(crate) fn all(&self) -> [&Vec<f32>; 5] {
        [&self.norm, &self.q, &self.k, &self.v, &self.o]
    }

    /// As [`TENSORS`] orders them.
    pub(crate) fn all_mut(&mut self) -> [&mut Vec<f32>; 5] {
        [&mut self.norm, &mut self.q, &mut self.k, &mut self.v, &mut self.o]
    }

    /// Names and shapes.
    pub(crate) fn shapes(hidden: usize) -> [(&'static str, Vec<usize>); 5] {
        TENSORS.map(|name| (name, if name == TENSORS[0] { vec![hidden] } else { vec![hidden, hidden] }))
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in self.all_mut().into_iter().zip(other.all()) {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    }

    /// Starts from the weights of layer `layer`, the first one that the drafter stands in for, as far as its attention has the drafter's
    /// shape (grouped keys and values are repeated); what does not fit starts random.
    pub(crate) fn initial(source: &ModelSource, layer: usize, seed: u64) -> Result<Self, ModelError> {
        let (config, weights) = (source.config(), source.weights());
        let hidden = config.hidden;
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let mut rng = Rng::new(seed, INIT_STREAM);
        let mut projection = |part: &str, heads: usize| {
            if !fits(config) {
                let scale = (hidden as f32).sqrt().recip();
                return Ok((0..hidden * hidden).map(|_| rng.normal() * scale).collect());
            }
            let stored = weights.f32(&name(&format!("self_attn.{part}_proj.weight")), &[heads * config.head_dim, hidden])?;
            let copies = config.heads / heads;
            Ok::<Vec<f32>, ModelError>(stored.chunks_exact(config.head_dim * hidden).flat_map(|head| head.repeat(copies)).collect())
        };
        Ok(Self {
            q: projection("q", config.heads)?,
            k: projection("k", config.kv_heads)?,
            v: projection("v", config.kv_heads)?,
            o: projection("o", config.heads)?,
            norm: weights.f32(&name("input_layernorm.weight"), &[hidden])?,
        })
    }
}

/// Whether the model's own attention has the drafter's shape once keys and values are repeated.
fn fits(config: &ModelConfig) -> bool {
    head_dim(config) == config.head_dim && config.heads * config.head_dim == config.hidden
}
