//! The drafter under training: its tensors, and where they start.

use tricorn_core::Split;
use tricorn_grad::{AdamW, GradError};
use tricorn_model::{
    DrafterKind, LayerShape, ModelConfig, ModelError, ModelSource,
    drafter::{head_dim, intermediate},
};

use crate::rng::Rng;

/// Stream of the random numbers for initial weights.
const INIT_STREAM: u64 = u64::MAX;

/// The tensors of a drafter, or something that has a number for each of theirs: gradients, moments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensors {
    pub(crate) attention: AttentionTensors,
    /// What only the fused drafter has.
    pub(crate) block: Option<BlockTensors>,
}

/// The attention of every drafter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AttentionTensors {
    pub(crate) norm: Vec<f32>,
    pub(crate) q: Vec<f32>,
    pub(crate) k: Vec<f32>,
    pub(crate) v: Vec<f32>,
    pub(crate) o: Vec<f32>,
}

/// What the fused drafter has around its attention.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BlockTensors {
    pub(crate) shallow_norm: Vec<f32>,
    pub(crate) deep_norm: Vec<f32>,
    pub(crate) fuse: Vec<f32>,
    pub(crate) mlp_norm: Vec<f32>,
    pub(crate) gate: Vec<f32>,
    pub(crate) up: Vec<f32>,
    pub(crate) down: Vec<f32>,
}

impl AttentionTensors {
    pub(crate) fn zero(config: &ModelConfig) -> Self {
        let square = || vec![0.0; config.hidden * config.hidden];
        Self { norm: vec![0.0; config.hidden], q: square(), k: square(), v: square(), o: square() }
    }
}

impl BlockTensors {
    pub(crate) fn zero(config: &ModelConfig) -> Self {
        let norm = || vec![0.0; config.hidden];
        let wide = || vec![0.0; intermediate(config) * config.hidden];
        let fuse = vec![0.0; 2 * config.hidden * config.hidden];
        Self {
            shallow_norm: norm(),
            deep_norm: norm(),
            fuse,
            mlp_norm: norm(),
            gate: wide(),
            up: wide(),
            down: wide(),
        }
    }
}

impl Tensors {
    pub(crate) fn zero(kind: DrafterKind, config: &ModelConfig) -> Self {
        let block = (kind == DrafterKind::Fused).then(|| BlockTensors::zero(config));
        Self { attention: AttentionTensors::zero(config), block }
    }

    pub(crate) fn kind(&self) -> DrafterKind {
        if self.block.is_some() { DrafterKind::Fused } else { DrafterKind::Hat }
    }

    /// As [`DrafterKind::tensors`] orders them.
    pub(crate) fn all(&self) -> Vec<&Vec<f32>> {
        let AttentionTensors { norm, q, k, v, o } = &self.attention;
        let attention = [norm, q, k, v, o];
        match &self.block {
            None => attention.to_vec(),
            Some(BlockTensors { shallow_norm, deep_norm, fuse, mlp_norm, gate, up, down }) => {
                [shallow_norm, deep_norm, fuse]
                    .into_iter()
                    .chain(attention)
                    .chain([mlp_norm, gate, up, down])
                    .collect()
            }
        }
    }

    /// As [`DrafterKind::tensors`] orders them.
    pub(crate) fn all_mut(&mut self) -> Vec<&mut Vec<f32>> {
        let AttentionTensors { norm, q, k, v, o } = &mut self.attention;
        let attention = [norm, q, k, v, o];
        match &mut self.block {
            None => attention.into_iter().collect(),
            Some(BlockTensors { shallow_norm, deep_norm, fuse, mlp_norm, gate, up, down }) => {
                [shallow_norm, deep_norm, fuse]
                    .into_iter()
                    .chain(attention)
                    .chain([mlp_norm, gate, up, down])
                    .collect()
            }
        }
    }

    /// Whether each tensor is the weight of a norm, as [`DrafterKind::tensors`] orders them.
    pub(crate) fn are_norms(kind: DrafterKind) -> Vec<bool> {
        let attention = [true, false, false, false, false];
        match kind {
            DrafterKind::Hat => attention.to_vec(),
            DrafterKind::Fused => {
                [[true, true, false].as_slice(), &attention, &[true, false, false, false]].concat()
            }
        }
    }

    /// One step of an optimiser by `gradients`.
    pub(crate) fn learn(
        &mut self,
        optimizer: &mut AdamW,
        learning_rate: f64,
        gradients: &Self,
    ) -> Result<(), GradError> {
        let values = self.all_mut().into_iter().map(Vec::as_mut_slice);
        let gradients = gradients.all().into_iter().map(Vec::as_slice);
        optimizer.step(learning_rate, values, gradients)
    }

    /// The numbers of all tensors, as [`DrafterKind::tensors`] orders them.
    pub(crate) fn into_all(mut self) -> Vec<Vec<f32>> {
        self.all_mut().into_iter().map(std::mem::take).collect()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in self.all_mut().into_iter().zip(other.all()) {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    }

    /// Starts from the weights of one of the model's layers, as far as its blocks have the
    /// drafter's shape (grouped keys and values are repeated); what does not fit starts random.
    /// HAT's adapter starts from the first layer that it stands in for; the fused drafter, which
    /// reads what the last layer wrote one position before, from the last, and without reading it.
    pub(crate) fn initial(
        kind: DrafterKind,
        source: &ModelSource,
        split: Split,
        seed: u64,
    ) -> Result<Self, ModelError> {
        let (config, weights) = (source.config(), source.weights());
        let hidden = config.hidden;
        let layer = match kind {
            DrafterKind::Hat => split.input_layers,
            DrafterKind::Fused => config.layers - 1,
        };
        let shape = config.layer(layer);
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let norm = |part: &str, present: bool| match present {
            true => weights.f32(&name(part), &[hidden]),
            false => Ok(vec![1.0; hidden]),
        };
        let mut rng = Rng::new(seed, INIT_STREAM);
        let mut projection = |part: &str, heads: usize| {
            if !fits(config, shape) {
                let scale = (hidden as f32).sqrt().recip();
                return Ok((0..hidden * hidden).map(|_| rng.normal() * scale).collect());
            }
            let stored = weights.f32(
                &name(&format!("self_attn.{part}_proj.weight")),
                &[heads * shape.head_dim, hidden],
            )?;
            let copies = shape.heads / heads;
            Ok::<Vec<f32>, ModelError>(
                stored
                    .chunks_exact(shape.head_dim * hidden)
                    .flat_map(|head| head.repeat(copies))
                    .collect(),
            )
        };
        let attention = AttentionTensors {
            q: projection("q", shape.heads)?,
            k: projection("k", shape.kv_heads)?,
            v: projection("v", shape.kv_heads)?,
            o: projection("o", shape.heads)?,
            norm: norm("input_layernorm.weight", shape.has_attention())?,
        };
        if kind == DrafterKind::Hat {
            return Ok(Self { attention, block: None });
        }
        let inner = intermediate(config);
        let mut mlp = |part: &str, [outputs, inputs]: [usize; 2]| {
            if shape.intermediate != inner {
                let scale = (inputs as f32).sqrt().recip();
                return Ok((0..outputs * inputs).map(|_| rng.normal() * scale).collect());
            }
            weights.f32(&name(&format!("mlp.{part}_proj.weight")), &[outputs, inputs])
        };
        let block = BlockTensors {
            shallow_norm: attention.norm.clone(),
            deep_norm: weights.f32("model.norm.weight", &[hidden])?,
            fuse: vec![0.0; 2 * hidden * hidden],
            mlp_norm: norm("post_attention_layernorm.weight", shape.has_mlp())?,
            gate: mlp("gate", [inner, hidden])?,
            up: mlp("up", [inner, hidden])?,
            down: mlp("down", [hidden, inner])?,
        };
        Ok(Self { attention, block: Some(block) })
    }
}

/// Whether a layer's attention has the drafter's shape once keys and values are repeated.
fn fits(config: &ModelConfig, layer: LayerShape) -> bool {
    head_dim(config) == layer.head_dim && layer.query_width() == config.hidden
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{TempDir, tiny_model};

    #[test]
    fn tensors_have_the_sizes_that_the_drafter_reads() {
        let dir = TempDir::new();
        let source = tiny_model(&dir, &json!({}));
        for kind in DrafterKind::ALL {
            let tensors = Tensors::zero(kind, source.config());
            let sizes: Vec<usize> = kind
                .tensors(source.config())
                .iter()
                .map(|(_, shape)| shape.iter().product())
                .collect();
            assert_eq!(tensors.all().iter().map(|values| values.len()).collect::<Vec<_>>(), sizes);
            assert_eq!(tensors.kind(), kind);
        }
    }
}
