//! AdamW (Loshchilov and Hutter 2019).

use tricorn_model::{DrafterKind, ModelConfig};

use crate::student::Tensors;

/// Decay of the moments.
const BETAS: (f32, f32) = (0.9, 0.95);
const EPSILON: f32 = 1e-8;
/// Share of a matrix that a step with learning rate 1 would take away; norms do not decay.
const WEIGHT_DECAY: f64 = 0.01;

/// The moments of the drafter's gradients.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AdamW {
    pub(crate) first: Tensors,
    pub(crate) second: Tensors,
}

impl AdamW {
    pub(crate) fn new(kind: DrafterKind, config: &ModelConfig) -> Self {
        Self { first: Tensors::zero(kind, config), second: Tensors::zero(kind, config) }
    }

    /// One step, number `step` counted from 1, on `weights`; the gradient's elements are clipped to
    /// `-clip ..= clip` first.
    pub(crate) fn update(
        &mut self,
        weights: &mut Tensors,
        gradients: &Tensors,
        step: u64,
        learning_rate: f64,
        clip: f32,
    ) {
        let moments = self.first.all_mut().into_iter().zip(self.second.all_mut());
        let width = weights.attention.norm.len();
        for ((weights, gradient), (first, second)) in
            weights.all_mut().into_iter().zip(gradients.all()).zip(moments)
        {
            let decay = if weights.len() == width { 0.0 } else { WEIGHT_DECAY };
            Step::new(step, learning_rate, clip, decay).apply(weights, gradient, first, second);
        }
    }
}

/// The constants of one step.
struct Step {
    /// Learning rate over the first moment's bias.
    rate: f32,
    /// Inverse of the second moment's bias.
    scale: f32,
    /// What decay leaves.
    keep: f32,
    clip: f32,
}

impl Step {
    fn new(step: u64, learning_rate: f64, clip: f32, decay: f64) -> Self {
        let bias = |beta: f32| 1.0 - f64::from(beta).powf(step as f64);
        Self {
            rate: (learning_rate / bias(BETAS.0)) as f32,
            scale: bias(BETAS.1).recip() as f32,
            keep: (1.0 - learning_rate * decay) as f32,
            clip,
        }
    }

    fn apply(&self, values: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let (beta1, beta2) = BETAS;
        for ((value, &gradient), (first, second)) in
            values.iter_mut().zip(gradient).zip(first.iter_mut().zip(second))
        {
            let gradient = gradient.clamp(-self.clip, self.clip);
            *first = beta1 * *first + (1.0 - beta1) * gradient;
            *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
            *value =
                *value * self.keep - self.rate * *first / ((*second * self.scale).sqrt() + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Step;

    #[test]
    fn the_first_step_is_the_learning_rate_against_the_gradients_sign() {
        let mut values = vec![1.0, -2.0, 3.0];
        Step::new(1, 0.01, 0.5, 0.0).apply(
            &mut values,
            &[0.1, -7.0, 0.0],
            &mut [0.0; 3],
            &mut [0.0; 3],
        );
        for (value, expected) in values.iter().zip([0.99, -1.99, 3.0]) {
            assert!((value - expected).abs() < 1e-5, "{value} is not {expected}");
        }
    }

    #[test]
    fn finds_a_minimum() {
        let (mut values, mut first, mut second) = ([5.0_f32], [0.0], [0.0]);
        for step in 1..=2000 {
            let gradient = [2.0 * (values[0] - 1.5)];
            Step::new(step, 0.02, 0.5, 0.0).apply(&mut values, &gradient, &mut first, &mut second);
        }
        assert!((values[0] - 1.5).abs() < 0.02, "{}", values[0]);
    }
}
