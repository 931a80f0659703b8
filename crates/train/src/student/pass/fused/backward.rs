//! The chain rule over the unrolled steps, the last one first.

use tricorn_grad::ops::{
    add,
    attention::{KeyGradients, Keys},
    norm,
};

use super::{FusedPass, FusedTrace, Step};
use crate::student::tensors::{AttentionTensors, BlockTensors, Tensors};

/// Sums that the steps add to.
struct Sums {
    attention: AttentionTensors,
    block: BlockTensors,
    /// The half of the fusing matrix that reads deep rows.
    fuse_deep: Vec<f32>,
    /// The gradient of what shallow rows bring into the block, all rows.
    base: Vec<f32>,
    /// Of each step's keys and values, by head: complete once all later steps are done.
    keys: Vec<Vec<KeyGradients>>,
}

impl FusedPass<'_> {
    /// The gradients of the weights, given those of each step's guesses.
    pub(in crate::student::pass) fn backward(
        &self,
        trace: &FusedTrace,
        mut gradients: Vec<Vec<f32>>,
    ) -> Tensors {
        let (hidden, dim) = (self.config.hidden, self.heads.dim);
        let keys = |step: &Step| vec![KeyGradients::zero(step.rows * dim); hidden / dim];
        let mut sums = Sums {
            attention: AttentionTensors::zero(self.config),
            block: BlockTensors::zero(self.config),
            fuse_deep: vec![0.0; hidden * hidden],
            base: vec![0.0; trace.shallow_unit.len()],
            keys: trace.steps.iter().map(keys).collect(),
        };
        for index in (0..trace.steps.len()).rev() {
            let d_y = self.mlp_backward(&trace.steps[index], &gradients[index], &mut sums);
            let d_z = self.attention_backward(trace, index, &d_y, &mut sums);
            let d_deep = self.fuse_backward(&trace.steps[index], &d_z, &mut sums);
            if index > 0 {
                let d_previous = norm::input_gradient(
                    &trace.steps[index].previous,
                    self.deep_norm,
                    self.config.norm_eps,
                    &d_deep,
                );
                add(&mut gradients[index - 1], &d_previous);
            }
        }
        let Sums { attention, mut block, fuse_deep, base, .. } = sums;
        let fuse_shallow = self.fuse_shallow.weight_gradient(&base, &trace.shallow_normed);
        block.shallow_norm = norm::weight_gradient(
            &self.fuse_shallow.input_gradient(&base),
            &trace.shallow_unit,
            hidden,
        );
        let halves = fuse_shallow.chunks_exact(hidden).zip(fuse_deep.chunks_exact(hidden));
        block.fuse =
            halves.flat_map(|(shallow, deep)| shallow.iter().chain(deep)).copied().collect();
        Tensors { attention, block: Some(block) }
    }

    /// The gradient of the rows between attention and MLP.
    fn mlp_backward(&self, step: &Step, gradient: &[f32], sums: &mut Sums) -> Vec<f32> {
        let (d_y, mlp) = self.mlp.backward(&step.mlp, gradient);
        add(&mut sums.block.mlp_norm, &mlp.norm);
        add(&mut sums.block.gate, &mlp.gate);
        add(&mut sums.block.up, &mlp.up);
        add(&mut sums.block.down, &mlp.down);
        d_y
    }

    /// The gradient of the rows that enter the block.
    fn attention_backward(
        &self,
        trace: &FusedTrace,
        index: usize,
        d_y: &[f32],
        sums: &mut Sums,
    ) -> Vec<f32> {
        let step = &trace.steps[index];
        let Step { at, rows, before, .. } = *step;
        let from_query = before * self.config.hidden;
        let attention = &mut sums.attention;
        add(&mut attention.o, &self.o.weight_gradient(d_y, &step.attended));
        let mut dq = Vec::with_capacity(step.q.len());
        for (head, d_output) in self.heads.split(&self.o.input_gradient(d_y)).iter().enumerate() {
            let seen = self.seen(
                trace.start,
                head,
                &trace.steps[..index],
                Keys { k: &step.k[head], v: &step.v[head] },
            );
            let (sequence, unrolled) = sums.keys.split_at_mut(1);
            let mut unrolled: Vec<&mut KeyGradients> =
                unrolled[..index].iter_mut().map(|step| &mut step[head]).collect();
            dq.push(seen.backward(
                &step.q[head],
                &step.weights[head],
                d_output,
                &mut sequence[0][head],
                &mut unrolled,
            ));
        }
        let (dk, dv): (Vec<_>, Vec<_>) =
            sums.keys[index].drain(..).map(|head| (head.k, head.v)).unzip();
        let (mut dq, mut dk, dv) =
            (self.heads.join(&dq), self.heads.join(&dk), self.heads.join(&dv));
        let hidden = self.config.hidden;
        self.heads.angles(at + before..at + rows).rotate_back(&mut dq, hidden);
        self.heads.angles(at..at + rows).rotate_back(&mut dk, hidden);

        let mut d_normed = self.k.input_gradient(&dk);
        add(&mut d_normed, &self.v.input_gradient(&dv));
        add(&mut d_normed[from_query..], &self.q.input_gradient(&dq));
        add(&mut attention.norm, &norm::weight_gradient(&d_normed, &step.unit, self.config.hidden));
        add(&mut attention.q, &self.q.weight_gradient(&dq, &step.normed[from_query..]));
        add(&mut attention.k, &self.k.weight_gradient(&dk, &step.normed));
        add(&mut attention.v, &self.v.weight_gradient(&dv, &step.normed));
        let mut d_z = norm::input_gradient(&step.z, self.norm, self.config.norm_eps, &d_normed);
        add(&mut d_z[from_query..], d_y);
        d_z
    }

    /// The gradient of the normed deep rows.
    fn fuse_backward(&self, step: &Step, d_z: &[f32], sums: &mut Sums) -> Vec<f32> {
        add(&mut sums.base[step.at * self.config.hidden..], d_z);
        add(&mut sums.fuse_deep, &self.fuse_deep.weight_gradient(d_z, &step.deep_normed));
        let d_deep = self.fuse_deep.input_gradient(d_z);
        add(
            &mut sums.block.deep_norm,
            &norm::weight_gradient(&d_deep, &step.deep_unit, self.config.hidden),
        );
        d_deep
    }
}
