//! The drafter's forward pass and the gradients of its weights, written out for one sequence at a
//! time, on the kernels that the model itself runs on; sequences run in parallel.

mod fused;
mod hat;
mod heads;
mod mlp;

use tricorn_model::{ModelConfig, ModelError, OutputPart};

use crate::{
    lessons::teacher::Lesson,
    student::{
        loss::{Guess, Loss, Losses},
        tensors::Tensors,
    },
};
use fused::FusedPass;
use hat::HatPass;

/// Weight of each unrolled step beside the one before it.
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

#[cfg(test)]
mod tests;
