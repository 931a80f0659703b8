//! The fused drafter, unrolled over its own outputs.
//!
//! With the first halves `Ws` and `Wd` of the fusing matrix, a row at position `t` enters the block
//! as `z_t = x_t + norm(x_t) Ws^T + norm(d_{t-1}) Wd^T`: `x` is the shallow row, `d` the last
//! layer's. Step 1 reads the true `d`, or zeros where no answer brings it; step `s` reads what step
//! `s - 1` returned for the position before. Row `i` of every step belongs to the round that drafts
//! from position `start + i`, and stands at `start + i + s - 1`; it sees the keys that it would see
//! in that round (see [`tricorn_grad::ops::attention`]). Gradients flow through the rows fed
//! back and through all keys and values.

mod backward;

use tricorn_grad::ops::{
    add,
    attention::{AttentionWeights, HeadAttention, Keys},
    linear::PackedWeight,
    norm,
};
use tricorn_model::ModelConfig;

use super::{
    heads::Heads,
    mlp::{Mlp, MlpTrace},
};
use crate::{
    lessons::teacher::Lesson,
    student::tensors::{AttentionTensors, BlockTensors},
};

/// Rows that step `step` (counted from 0) learns from: the first round after the prompt drafts from
/// the row after the prompt's last.
pub(super) fn rows(lesson: &Lesson, step: usize) -> usize {
    lesson.loss_rows().saturating_sub(step + 1)
}

/// The weights of one step, packed for both directions.
#[derive(Debug)]
pub(super) struct FusedPass<'a> {
    config: &'a ModelConfig,
    heads: Heads<'a>,
    pub(super) unroll: usize,
    shallow_norm: &'a [f32],
    deep_norm: &'a [f32],
    norm: &'a [f32],
    fuse_shallow: PackedWeight,
    fuse_deep: PackedWeight,
    q: PackedWeight,
    k: PackedWeight,
    v: PackedWeight,
    o: PackedWeight,
    mlp: Mlp<'a>,
}

/// Activations of the forward pass that the backward pass reads.
#[derive(Debug)]
pub(super) struct FusedTrace {
    start: usize,
    shallow_unit: Vec<f32>,
    shallow_normed: Vec<f32>,
    steps: Vec<Step>,
}

/// One step. Step 1 has keys for the whole sequence and queries from row `start` on; the others
/// have both for their own rows.
#[derive(Debug)]
struct Step {
    /// Position of the first key, and rows of keys.
    at: usize,
    rows: usize,
    /// Keys before the first query.
    before: usize,
    previous: Vec<f32>,
    deep_unit: Vec<f32>,
    deep_normed: Vec<f32>,
    z: Vec<f32>,
    unit: Vec<f32>,
    normed: Vec<f32>,
    /// Heads one after the other; rotated.
    q: Vec<Vec<f32>>,
    k: Vec<Vec<f32>>,
    v: Vec<Vec<f32>>,
    weights: Vec<AttentionWeights>,
    attended: Vec<f32>,
    mlp: MlpTrace,
    out: Vec<f32>,
}

impl FusedTrace {
    /// The guesses of each step.
    pub(super) fn guesses(&self) -> impl Iterator<Item = &[f32]> {
        self.steps.iter().map(|step| step.out.as_slice())
    }
}

impl<'a> FusedPass<'a> {
    pub(super) fn new(
        config: &'a ModelConfig,
        attention: &'a AttentionTensors,
        block: &'a BlockTensors,
        unroll: usize,
    ) -> Self {
        let hidden = config.hidden;
        let square = |values: &[f32]| PackedWeight::new(values, hidden);
        let half = |from: usize| {
            square(
                &block
                    .fuse
                    .chunks_exact(hidden)
                    .skip(from)
                    .step_by(2)
                    .flatten()
                    .copied()
                    .collect::<Vec<f32>>(),
            )
        };
        Self {
            config,
            heads: Heads::new(config),
            unroll,
            shallow_norm: &block.shallow_norm,
            deep_norm: &block.deep_norm,
            norm: &attention.norm,
            fuse_shallow: half(0),
            fuse_deep: half(1),
            q: square(&attention.q),
            k: square(&attention.k),
            v: square(&attention.v),
            o: square(&attention.o),
            mlp: Mlp::new(config, block),
        }
    }

    /// All steps over a lesson, as many as it has rows for.
    pub(super) fn forward(&self, lesson: &Lesson) -> FusedTrace {
        let hidden = self.config.hidden;
        let (start, rows) = (lesson.first + 1, lesson.rows());
        let (shallow_unit, shallow_normed) =
            norm::forward(&lesson.shallow, self.shallow_norm, self.config.norm_eps);
        let mut base = self.fuse_shallow.forward(&shallow_normed);
        add(&mut base, &lesson.shallow);
        let mut steps: Vec<Step> = Vec::with_capacity(self.unroll);
        for index in 0..self.unroll {
            let count = self::rows(lesson, index);
            if count == 0 {
                break;
            }
            let (at, previous) = match steps.last() {
                None => (0, lesson.previous(hidden)),
                Some(last) => (rows - count, last.out[..count * hidden].to_vec()),
            };
            let step = self.step(start, at, previous, &base, &steps);
            steps.push(step);
        }
        FusedTrace { start, shallow_unit, shallow_normed, steps }
    }

    /// One step whose keys start at position `at`.
    fn step(
        &self,
        start: usize,
        at: usize,
        previous: Vec<f32>,
        base: &[f32],
        earlier: &[Step],
    ) -> Step {
        let hidden = self.config.hidden;
        let eps = self.config.norm_eps;
        let rows = previous.len() / hidden;
        let before = if earlier.is_empty() { start } else { 0 };
        let (deep_unit, deep_normed) = norm::forward(&previous, self.deep_norm, eps);
        let mut z = self.fuse_deep.forward(&deep_normed);
        add(&mut z, &base[at * hidden..]);
        let (unit, normed) = norm::forward(&z, self.norm, eps);
        let (mut q, mut k) = (self.q.forward(&normed[before * hidden..]), self.k.forward(&normed));
        self.heads.angles(at + before..at + rows).rotate(&mut q, hidden);
        self.heads.angles(at..at + rows).rotate(&mut k, hidden);
        let (q, k, v) = (
            self.heads.split(&q),
            self.heads.split(&k),
            self.heads.split(&self.v.forward(&normed)),
        );
        let (outputs, weights): (Vec<_>, Vec<_>) = q
            .iter()
            .enumerate()
            .map(|(head, q)| {
                self.seen(start, head, earlier, Keys { k: &k[head], v: &v[head] }).forward(q)
            })
            .unzip();
        let attended = self.heads.join(&outputs);
        let mut y = self.o.forward(&attended);
        add(&mut y, &z[before * hidden..]);
        let (out, mlp) = self.mlp.forward(y);
        Step {
            at,
            rows,
            before,
            previous,
            deep_unit,
            deep_normed,
            z,
            unit,
            normed,
            q,
            k,
            v,
            weights,
            attended,
            mlp,
            out,
        }
    }

    /// What a head of a step sees: the keys of step 1, those of the steps between, and the step's
    /// own.
    fn seen<'x>(
        &self,
        start: usize,
        head: usize,
        earlier: &'x [Step],
        own: Keys<'x>,
    ) -> HeadAttention<'x> {
        let mut all =
            earlier.iter().map(|step| Keys { k: &step.k[head], v: &step.v[head] }).chain([own]);
        let sequence = all.next().unwrap_or(own);
        HeadAttention {
            dim: self.heads.dim,
            start,
            window: None,
            sequence,
            unrolled: all.collect(),
        }
    }
}
