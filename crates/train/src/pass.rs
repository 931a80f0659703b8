//! The drafter's forward pass and the gradients of its weights, written out for one sequence at a
//! time, on the kernels that the model itself runs on; sequences run in parallel.

mod attention;
mod fused;
mod hat;
mod heads;
mod mlp;

use tricorn_kernels::linear::transposed::{Packed, transposed_product};
use tricorn_model::{ModelConfig, ModelError, OutputPart};

use crate::{
    loss::{Guess, Loss, Losses},
    student::Tensors,
    teacher::Lesson,
};
use fused::FusedPass;
use hat::HatPass;

/// What each unrolled step counts for beside the one before it.
const STEP_WEIGHT: f64 = 0.8;

/// The weights of one step, packed for both directions.
#[derive(Debug)]
pub(crate) struct Pass<'a>(Net<'a>);

#[derive(Debug)]
enum Net<'a> {
    Hat(Box<HatPass<'a>>),
    Fused(Box<FusedPass<'a>>),
}

impl<'a> Pass<'a> {
    /// A pass that unrolls the fused drafter over `unroll` of its own outputs, the first step
    /// included; HAT's does not read them.
    pub(crate) fn new(config: &'a ModelConfig, tensors: &'a Tensors, unroll: usize) -> Self {
        match &tensors.block {
            None => Self(Net::Hat(Box::new(HatPass::new(config, &tensors.attention)))),
            Some(block) => Self(Net::Fused(Box::new(FusedPass::new(
                config,
                &tensors.attention,
                block,
                unroll,
            )))),
        }
    }

    /// What one row of each step counts for in the mean over a batch.
    pub(crate) fn shares(&self, lessons: &[Lesson]) -> Vec<f64> {
        match &self.0 {
            Net::Hat(_) => vec![share(1.0, lessons.iter().map(Lesson::loss_rows).sum())],
            Net::Fused(pass) => {
                let weights: Vec<f64> =
                    (0..pass.unroll).map(|step| STEP_WEIGHT.powi(step as i32)).collect();
                let total: f64 = weights.iter().sum();
                let rows =
                    |step: usize| lessons.iter().map(|lesson| fused::rows(lesson, step)).sum();
                weights
                    .iter()
                    .enumerate()
                    .map(|(step, weight)| share(weight / total, rows(step)))
                    .collect()
            }
        }
    }

    /// A lesson's part of the batch's losses, and the gradient of that part.
    ///
    /// # Errors
    /// When an accelerator that the head is on fails.
    pub(crate) fn learn(
        &self,
        lesson: &Lesson,
        shares: &[f64],
        loss: &Loss,
        output: &OutputPart,
    ) -> Result<(Losses, Tensors), ModelError> {
        match &self.0 {
            Net::Hat(pass) => {
                let (guess, trace) = pass.forward(&lesson.shallow, lesson.first);
                let guesses = [Guess { rows: &guess, from: 0, share: shares[0] }];
                let (losses, gradients) = loss.of(output, &lesson.target, &guesses)?;
                Ok((losses, pass.backward(&trace, &gradients.concat())))
            }
            Net::Fused(pass) => {
                let trace = pass.forward(lesson);
                let guesses: Vec<Guess<'_>> = trace
                    .guesses()
                    .zip(shares)
                    .enumerate()
                    .map(|(step, (rows, &share))| Guess { rows, from: step + 1, share })
                    .collect();
                let (losses, gradients) = loss.of(output, &lesson.target, &guesses)?;
                Ok((losses, pass.backward(&trace, gradients)))
            }
        }
    }
}

fn share(weight: f64, rows: usize) -> f64 {
    weight * (rows.max(1) as f64).recip()
}

/// A weight matrix, `outputs x inputs`, packed for both directions.
#[derive(Debug)]
struct Matrix {
    forward: Packed,
    backward: Packed,
    inputs: usize,
    outputs: usize,
}

impl Matrix {
    fn new(values: &[f32], inputs: usize) -> Self {
        let outputs = values.len() / inputs;
        Self {
            forward: Packed::transposed(values, inputs),
            backward: Packed::new(values, inputs),
            inputs,
            outputs,
        }
    }

    /// `x W^T`.
    fn apply(&self, x: &[f32]) -> Vec<f32> {
        self.forward.times(x)
    }

    /// The gradient of `x`, given that of `x W^T`.
    fn back(&self, gradient: &[f32]) -> Vec<f32> {
        self.backward.times(gradient)
    }

    /// The gradient of `W`, given that of `x W^T`.
    fn gradient(&self, gradient: &[f32], x: &[f32]) -> Vec<f32> {
        transposed_product(gradient, self.outputs, x, self.inputs)
    }
}

/// `x / rms(x)`, and that times `weight`.
fn norm_rows(x: &[f32], weight: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let mut unit = x.to_vec();
    for row in unit.chunks_exact_mut(width) {
        let scale = inverse_rms(row, eps);
        row.iter_mut().for_each(|v| *v *= scale);
    }
    let normed = unit
        .chunks_exact(width)
        .flat_map(|row| row.iter().zip(weight).map(|(u, w)| u * w))
        .collect();
    (unit, normed)
}

/// The gradient of a norm's weight, given that of `unit * weight`.
fn norm_gradient(gradient: &[f32], unit: &[f32], width: usize) -> Vec<f32> {
    let mut norm = vec![0.0; width];
    for (gradient, unit) in gradient.chunks_exact(width).zip(unit.chunks_exact(width)) {
        norm.iter_mut().zip(gradient).zip(unit).for_each(|((norm, d), u)| *norm += d * u);
    }
    norm
}

/// The gradient of rows `x`, given the gradient of `x / rms(x) * weight`.
pub(crate) fn rms_norm_backward(x: &[f32], weight: &[f32], eps: f32, gradient: &[f32]) -> Vec<f32> {
    let width = weight.len();
    let mut result = Vec::with_capacity(x.len());
    for (x, gradient) in x.chunks_exact(width).zip(gradient.chunks_exact(width)) {
        let scale = inverse_rms(x, eps);
        let dot: f32 = x.iter().zip(gradient).zip(weight).map(|((x, g), w)| x * g * w).sum();
        let pull = scale * scale * dot / width as f32;
        result.extend(
            x.iter().zip(gradient).zip(weight).map(|((x, g), w)| scale * (g * w - x * pull)),
        );
    }
    result
}

/// Zero for what is too small to matter: products of tiny numbers are denormal, and those are a
/// hundred times slower to compute with.
pub(crate) fn flush(value: f32) -> f32 {
    if value.abs() < 1e-18 { 0.0 } else { value }
}

fn inverse_rms(row: &[f32], eps: f32) -> f32 {
    let mean = row.iter().map(|v| v * v).sum::<f32>() / row.len() as f32;
    (mean + eps).sqrt().recip()
}

fn add(sum: &mut [f32], more: &[f32]) {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

#[cfg(test)]
#[path = "pass/tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
