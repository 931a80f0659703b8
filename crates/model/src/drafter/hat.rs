//! HAT's adapter: one RMSNorm, one causal multi-head self-attention with rope (`4 * hidden^2`
//! weights) and a residual connection (HAT, arXiv 2503.18989, section 3; the design is Kangaroo's,
//! arXiv 2404.18911).

use super::attention;
use crate::{
    config::ModelConfig,
    error::ModelError,
    layers::{SeqRows, attention::Attention, rope::RopeRows, scratch::Scratch},
    weights::Weights,
};
use tricorn_kernels::KvShare;

/// The norm and four projections.
pub(super) fn tensors(config: &ModelConfig) -> Vec<(&'static str, Vec<usize>)> {
    attention::tensors(config).to_vec()
}

#[derive(Debug)]
pub(super) struct Hat {
    attention: Attention,
    share: KvShare,
}

impl Hat {
    pub(super) fn load(weights: &Weights, config: &ModelConfig) -> Result<Self, ModelError> {
        let share = attention::layout(config).share(0);
        Ok(Self { attention: attention::load(weights, config)?, share })
    }

    pub(super) fn extend(&self, batch: &mut [SeqRows<'_>], rope: &RopeRows, shallow: &[f32]) {
        self.attention.project(self.share, batch, rope, shallow, &mut Scratch::default());
    }

    pub(super) fn forward(
        &self,
        batch: &mut [SeqRows<'_>],
        rope: &RopeRows,
        shallow: &[f32],
    ) -> Vec<f32> {
        let mut x = shallow.to_vec();
        self.attention.forward(self.share, batch, rope, &mut x, &mut Scratch::default());
        x
    }

    pub(super) fn bytes(&self) -> usize {
        self.attention.bytes()
    }
}
