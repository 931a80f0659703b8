//! Hidden rows cut into attention heads, rotated to their positions.

use std::ops::Range;

use tricorn_model::{
    ModelConfig,
    drafter::{head_dim, rope_angles},
};

/// How hidden rows fall into the drafter's heads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads<'a> {
    config: &'a ModelConfig,
    pub(super) dim: usize,
}

impl<'a> Heads<'a> {
    pub(super) fn new(config: &'a ModelConfig) -> Self {
        Self { config, dim: head_dim(config) }
    }

    /// Rotates all heads of rows at `positions`, or back when `direction` is -1.
    pub(super) fn rotate(&self, x: &mut [f32], positions: Range<usize>, direction: f32) {
        let half = self.dim / 2;
        let (cos, sin) = rope_angles(self.config, positions);
        let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        for (row, (cos, sin)) in x.chunks_exact_mut(self.config.hidden).zip(angles) {
            for head in row.chunks_exact_mut(self.dim) {
                let (a, b) = head.split_at_mut(half);
                for (((a, b), &c), &s) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                    let s = s * direction;
                    (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
                }
            }
        }
    }

    /// Rows of all heads side by side to one matrix for each head.
    pub(super) fn split(&self, x: &[f32]) -> Vec<Vec<f32>> {
        (0..self.config.hidden / self.dim)
            .map(|head| {
                x.chunks_exact(self.config.hidden)
                    .flat_map(|row| &row[head * self.dim..][..self.dim])
                    .copied()
                    .collect()
            })
            .collect()
    }

    /// The inverse of [`Heads::split`].
    pub(super) fn join(&self, heads: &[Vec<f32>]) -> Vec<f32> {
        let mut x = vec![0.0; heads.iter().map(Vec::len).sum()];
        for (index, head) in heads.iter().enumerate() {
            for (row, values) in
                x.chunks_exact_mut(self.config.hidden).zip(head.chunks_exact(self.dim))
            {
                row[index * self.dim..][..self.dim].copy_from_slice(values);
            }
        }
        x
    }
}
