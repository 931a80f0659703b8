//! AdamW (Loshchilov and Hutter 2019). candle-nn's keeps its moments to itself, so that a run could not be resumed exactly.

/// Decay of the moments.
const BETAS: (f64, f64) = (0.9, 0.95);
const EPSILON: f64 = 1e-8;
/// Share of a matrix that a step with learning rate 1 would take away; norms do not decay.
const WEIGHT_DECAY: f64 = 0.01;

/// The moments of one tensor's gradient.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moments {
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
}

impl Moments {
    pub(crate) fn zero(count: usize) -> Self {
        Self { first: vec![0.0; count], second: vec![0.0; count] }
    }

    /// One step, number `step` counted from 1, on `values`; the gradient's elements are clipped to `-clip ..= clip` first.
    pub(crate) fn update(&mut self, values: &mut [f32], gradient: &[f32], step: u64, learning_rate: f64, clip: f32, decays: bool) {
        let (beta1, beta2) = BETAS;
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        let rate = (learning_rate / correction(beta1)) as f32;
        let scale = correction(beta2).recip() as f32;
        let keep = if decays { (1.0 - learning_rate * WEIGHT_DECAY) as f32 } else { 1.0 };
        let (beta1, beta2) = (beta1 as f32, beta2 as f32);
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, &gradient), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
            let gradient = gradient.clamp(-clip, clip);
            *first = beta1 * *first + (1.0 - beta1) * gradient;
            *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
            *value = *value * keep - rate * *first / ((*second * scale).sqrt() + EPSILON as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Moments;

    #[test]
    fn the_first_step_is_the_learning_rate_against_the_gradients_sign() {
        let mut values = vec![1.0, -2.0, 3.0];
        Moments::zero(3).update(&mut values, &[0.1, -7.0, 0.0], 1, 0.01, 0.5, false);
        for (value, expected) in values.iter().zip([0.99, -1.99, 3.0]) {
            assert!((value - expected).abs() < 1e-5, "{value} is not {expected}");
        }
    }

    #[test]
    fn finds_a_minimum() {
        let (mut values, mut moments) = (vec![5.0_f32], Moments::zero(1));
        for step in 1..=2000 {
            let gradient = [2.0 * (values[0] - 1.5)];
            moments.update(&mut values, &gradient, step, 0.02, 0.5, false);
        }
        assert!((values[0] - 1.5).abs() < 0.02, "{}", values[0]);
    }
}
