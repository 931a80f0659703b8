//! The fused drafter: a decoder block whose input is a position's shallow row and the last layer's
//! row of the position before, which the cloud has answered or the drafter has guessed (after
//! EAGLE-3, arXiv 2503.01840, whose heads read several layers' rows).

use super::{attention, intermediate};
use crate::{
    config::ModelConfig,
    error::ModelError,
    layers::{SeqRows, attention::Attention, mlp::Mlp, rope::RopeRows, scratch::Scratch},
    weights::Weights,
};
use tricorn_kernels::{KvShare, Linear, rows::rms_norm};

const SHALLOW_NORM: &str = "shallow_norm.weight";
const DEEP_NORM: &str = "deep_norm.weight";
const FUSE: &str = "fuse.weight";
const MLP_NORM: &str = "mlp_norm.weight";
const GATE: &str = "gate_proj.weight";
const UP: &str = "up_proj.weight";
const DOWN: &str = "down_proj.weight";

/// Two norms and the projection that fuses (`hidden x 2 hidden`), then a decoder block.
pub(super) fn tensors(config: &ModelConfig) -> Vec<(&'static str, Vec<usize>)> {
    let (hidden, inner) = (config.hidden, intermediate(config));
    let mut tensors = vec![
        (SHALLOW_NORM, vec![hidden]),
        (DEEP_NORM, vec![hidden]),
        (FUSE, vec![hidden, 2 * hidden]),
    ];
    tensors.extend(attention::tensors(config));
    tensors.extend([
        (MLP_NORM, vec![hidden]),
        (GATE, vec![inner, hidden]),
        (UP, vec![inner, hidden]),
        (DOWN, vec![hidden, inner]),
    ]);
    tensors
}

#[derive(Debug)]
pub(super) struct Fused {
    shallow_norm: Vec<f32>,
    deep_norm: Vec<f32>,
    fuse: Linear,
    attention: Attention,
    share: KvShare,
    mlp: Mlp,
    norm_eps: f32,
}

impl Fused {
    pub(super) fn load(weights: &Weights, config: &ModelConfig) -> Result<Self, ModelError> {
        let (hidden, intermediate) = (config.hidden, intermediate(config));
        let (gate, up) = (
            weights.raw(GATE, &[intermediate, hidden])?,
            weights.raw(UP, &[intermediate, hidden])?,
        );
        Ok(Self {
            shallow_norm: weights.f32(SHALLOW_NORM, &[hidden])?,
            deep_norm: weights.f32(DEEP_NORM, &[hidden])?,
            fuse: Linear::pack(
                &[weights.raw(FUSE, &[hidden, 2 * hidden])?.view()],
                2 * hidden,
                None,
            ),
            attention: attention::load(weights, config)?,
            share: attention::layout(config).share(0),
            mlp: Mlp {
                norm: weights.f32(MLP_NORM, &[hidden])?,
                gate_up: Linear::pack(&[gate.view(), up.view()], hidden, None),
                down: Linear::pack(
                    &[weights.raw(DOWN, &[hidden, intermediate])?.view()],
                    intermediate,
                    None,
                ),
                intermediate,
                norm_eps: config.norm_eps,
            },
            norm_eps: config.norm_eps,
        })
    }

    pub(super) fn extend(
        &self,
        batch: &mut [SeqRows<'_>],
        rope: &RopeRows,
        shallow: &[f32],
        previous: &[f32],
    ) {
        self.attention.project(
            self.share,
            batch,
            rope,
            &self.fuse(shallow, previous),
            &mut Scratch::default(),
        );
    }

    pub(super) fn forward(
        &self,
        batch: &mut [SeqRows<'_>],
        rope: &RopeRows,
        shallow: &[f32],
        previous: &[f32],
    ) -> Vec<f32> {
        let mut x = self.fuse(shallow, previous);
        let mut scratch = Scratch::default();
        self.attention.forward(self.share, batch, rope, &mut x, &mut scratch);
        self.mlp.forward(&mut x, &mut scratch);
        x
    }

    /// `shallow + W [norm(shallow) ; norm(previous)]`, a row at a time. A row of zeros, for one
    /// that is not known, stays zero.
    fn fuse(&self, shallow: &[f32], previous: &[f32]) -> Vec<f32> {
        let hidden = self.shallow_norm.len();
        let mut pairs = vec![0.0; 2 * shallow.len()];
        for (pair, row) in pairs.chunks_exact_mut(2 * hidden).zip(shallow.chunks_exact(hidden)) {
            rms_norm(row, &self.shallow_norm, self.norm_eps, &mut pair[..hidden]);
        }
        for (pair, row) in pairs.chunks_exact_mut(2 * hidden).zip(previous.chunks_exact(hidden)) {
            rms_norm(row, &self.deep_norm, self.norm_eps, &mut pair[hidden..]);
        }
        let mut x = self.fuse.apply(&pairs);
        x.iter_mut().zip(shallow).for_each(|(x, shallow)| *x += shallow);
        x
    }

    pub(super) fn bytes(&self) -> usize {
        self.fuse.bytes()
            + self.attention.bytes()
            + self.mlp.bytes()
            + (self.shallow_norm.len() + self.deep_norm.len()) * 4
    }
}
