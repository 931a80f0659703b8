//! Hidden rows cut into attention heads, rotated to their positions.

use std::ops::Range;

use tricorn_grad::ops::{heads, rotary::Angles};
use tricorn_model::{
    ModelConfig,
    drafter::{head_dim, rope_angles},
};

/// The way in which hidden rows fall into the drafter's heads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads<'a> {
    config: &'a ModelConfig,
    pub(super) dim: usize,
}

impl<'a> Heads<'a> {
    pub(super) fn new(config: &'a ModelConfig) -> Self {
        Self { config, dim: head_dim(config) }
    }

    /// The angles of rows at `positions`.
    pub(super) fn angles(&self, positions: Range<usize>) -> Angles {
        let (cos, sin) = rope_angles(self.config, positions);
        Angles::new(cos, sin, self.dim)
    }

    /// Rows of all heads side by side to one matrix for each head.
    pub(super) fn split(&self, x: &[f32]) -> Vec<Vec<f32>> {
        heads::split(x, self.config.hidden, self.dim)
    }

    /// The inverse of [`Heads::split`].
    pub(super) fn join(&self, heads: &[Vec<f32>]) -> Vec<f32> {
        heads::join(heads, self.dim)
    }
}
