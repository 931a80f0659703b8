//! LoRA (Hu et al. 2021, arXiv 2106.09685): `y = W x + (alpha / r) B A x`, with `A` of `r x inputs`
//! and `B` of `outputs x r`.

use crate::{
    error::GradError,
    ops::{
        add, add_scaled,
        linear::{self, Weight},
    },
    parameters::{Gradients, Parameter, Parameters},
};

/// What PEFT puts before the model's own names in `adapter_model.safetensors`.
const PEFT_PREFIX: &str = "base_model.model.";

/// The size of an adapter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoraConfig {
    /// Rank `r`, from 1 to the smaller of the layer's widths.
    pub rank: usize,
    /// Scale of the update times the rank.
    pub alpha: f32,
}

impl LoraConfig {
    /// `alpha / r`.
    #[must_use]
    pub fn scale(&self) -> f32 {
        self.alpha / self.rank as f32
    }
}

/// An adapter's places among the parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adapter {
    a: usize,
    b: usize,
    pub(crate) config: LoraConfig,
}

/// The numbers of an adapter, and the widths of its layer.
struct Factors<'a> {
    a: Weight<'a>,
    b: Weight<'a>,
    rank: usize,
    scale: f32,
    inputs: usize,
    outputs: usize,
}

impl Adapter {
    /// Adds the adapter's tensors to the parameters, by PEFT's names: `A` from
    /// [`kaiming_uniform`], `B` of zeros.
    pub(crate) fn new(
        layer: &str,
        (outputs, inputs): (usize, usize),
        config: LoraConfig,
        uniform: &mut dyn FnMut() -> f64,
        parameters: &mut Parameters,
    ) -> Result<Self, GradError> {
        let (rank, most) = (config.rank, outputs.min(inputs));
        if !(1..=most).contains(&rank) {
            return Err(GradError::Rank { name: layer.to_owned(), rank, most });
        }
        let name = |which| format!("{PEFT_PREFIX}{layer}.lora_{which}.weight");
        let a = parameters.push(Parameter {
            name: name("A"),
            shape: vec![rank, inputs],
            values: kaiming_uniform(rank * inputs, inputs, uniform),
        })?;
        let b = parameters.push(Parameter {
            name: name("B"),
            shape: vec![outputs, rank],
            values: vec![0.0; outputs * rank],
        })?;
        Ok(Self { a, b, config })
    }

    fn factors<'a>(&self, parameters: &'a Parameters) -> Factors<'a> {
        let (a, b) = (parameters.at(self.a), parameters.at(self.b));
        let rank = self.config.rank;
        Factors {
            a: Weight::Values(a),
            b: Weight::Values(b),
            rank,
            scale: self.config.scale(),
            inputs: a.len() / rank,
            outputs: b.len() / rank,
        }
    }

    /// Adds `scale x A^T B^T` to `y`.
    pub(crate) fn add_forward(&self, parameters: &Parameters, x: &[f32], y: &mut [f32]) {
        let lora = self.factors(parameters);
        let inner = linear::forward(x, lora.a, lora.inputs, lora.rank);
        add_scaled(y, lora.scale, &linear::forward(&inner, lora.b, lora.rank, lora.outputs));
    }

    /// Adds the adapter's part of the gradient of `x` to `dx`, and the gradients of `A` and `B` to
    /// `gradients`, given that of the output.
    pub(crate) fn add_backward(
        &self,
        parameters: &Parameters,
        x: &[f32],
        gradient: &[f32],
        dx: &mut [f32],
        gradients: &mut Gradients,
    ) {
        let lora = self.factors(parameters);
        let inner = linear::forward(x, lora.a, lora.inputs, lora.rank);
        let scaled: Vec<f32> = gradient.iter().map(|g| g * lora.scale).collect();
        // Transposed: of the two factors the narrow one is turned around.
        let d_b = linear::weight_gradient(&inner, lora.rank, &scaled, lora.outputs);
        add_transposed(gradients.at_mut(self.b), &d_b, lora.outputs);
        let d_inner = linear::input_gradient(&scaled, lora.b, lora.rank, lora.outputs);
        let d_a = linear::weight_gradient(&d_inner, lora.rank, x, lora.inputs);
        gradients.add_to(self.a, &d_a);
        add(dx, &linear::input_gradient(&d_inner, lora.a, lora.inputs, lora.rank));
    }

    /// Adds the adapter's update to a dense weight, `outputs x inputs`.
    pub(crate) fn merge_into(&self, parameters: &Parameters, weight: &mut [f32]) {
        merge(weight, parameters.at(self.a), parameters.at(self.b), self.config);
    }
}

/// Adds the transpose of a matrix with rows of `width` numbers.
fn add_transposed(sum: &mut [f32], matrix: &[f32], width: usize) {
    let height = matrix.len() / width;
    for (row, values) in matrix.chunks_exact(width).enumerate() {
        for (sum, value) in sum[row..].iter_mut().step_by(height).zip(values) {
            *sum += value;
        }
    }
}

/// Adds the update `(alpha / r) B A` to a dense weight, `outputs x inputs`.
pub fn merge(weight: &mut [f32], a: &[f32], b: &[f32], config: LoraConfig) {
    let inputs = a.len() / config.rank;
    for (weight, b) in weight.chunks_exact_mut(inputs).zip(b.chunks_exact(config.rank)) {
        for (a, b) in a.chunks_exact(inputs).zip(b) {
            add_scaled(weight, config.scale() * b, a);
        }
    }
}

/// `count` numbers for the matrix `A` of an adapter on a layer with `inputs` inputs, as PEFT draws
/// them: uniform within `1 / sqrt(inputs)`, which is PyTorch's `kaiming_uniform_` with `a =
/// sqrt(5)`. `uniform` gives numbers in `[0, 1)`.
pub fn kaiming_uniform(count: usize, inputs: usize, uniform: &mut dyn FnMut() -> f64) -> Vec<f32> {
    let bound = (inputs as f64).sqrt().recip();
    (0..count).map(|_| ((2.0 * uniform() - 1.0) * bound) as f32).collect()
}
