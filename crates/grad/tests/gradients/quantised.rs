//! Frozen weights in every format, in blocks of rows.

use tricorn_grad::{
    Batch, LanguageModel, TokenSequence,
    ops::linear::{Weight, forward, input_gradient},
};
use tricorn_kernels::{Dtype, RawTensor, quant::encode};
use tricorn_model::quant::Quant;

use crate::support::{add_adapters, noise, open};

fn coded(dtype: Dtype, values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; dtype.bytes(values.len()).unwrap()];
    encode(dtype, values, &mut bytes).unwrap();
    bytes
}

#[test]
fn stored_weights_compute_as_their_numbers_do() {
    // More than a block of rows and a slab of columns.
    let (rows, inputs, outputs) = (3, 512, 2500);
    let (x, gradient) = (noise(rows * inputs, 1), noise(rows * outputs, 2));
    let values = noise(outputs * inputs, 3);
    for dtype in Dtype::ALL {
        let bytes = coded(dtype, &values);
        let raw = RawTensor { dtype, bytes: &bytes };
        let numbers = raw.to_f32();
        let (stored, plain) = (Weight::Stored(raw), Weight::Values(&numbers));
        assert_eq!(forward(&x, stored, inputs, outputs), forward(&x, plain, inputs, outputs));
        assert_eq!(
            input_gradient(&gradient, stored, inputs, outputs),
            input_gradient(&gradient, plain, inputs, outputs),
            "{dtype}"
        );
    }
}

#[test]
fn adapters_on_a_quantised_model_have_the_slope_of_its_loss() {
    for (name, quant) in [("llama", Quant::Q8), ("qwen3", Quant::Q8), ("qwen2", Quant::F16)] {
        let source = open(name).quantised(Some(quant)).unwrap();
        let mut model = LanguageModel::load(&source).unwrap();
        add_adapters(&mut model, 2);
        let sequence = TokenSequence::next_tokens((10..60).collect(), 5);
        let batch = Batch::new(&[sequence]).unwrap();
        let (_, gradients) = model.loss_and_gradients(&batch).unwrap();
        let size =
            gradients.values().flatten().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>().sqrt();
        let directions: Vec<Vec<f32>> = (gradients.values().enumerate())
            .map(|(index, gradient)| noise(gradient.len(), 100 + index as u64))
            .collect();
        let computed: f64 = (gradients.values().zip(&directions))
            .flat_map(|(gradient, direction)| gradient.iter().zip(direction))
            .map(|(g, d)| f64::from(*g) * f64::from(*d))
            .sum();
        let start = model.parameters().clone();
        let mut at = |by: f32| {
            *model.parameters_mut() = start.clone();
            for (values, direction) in model.parameters_mut().values_mut().zip(&directions) {
                values.iter_mut().zip(direction).for_each(|(v, d)| *v += by * d);
            }
            model.loss(&batch).unwrap()
        };
        let by = 2e-4;
        let measured = (at(by) - at(-by)) / (2.0 * f64::from(by));
        assert!(
            (measured - computed).abs() < 1e-2 * size,
            "{name} in {quant}: {measured} measured, {computed} computed, size {size}"
        );
    }
}

#[test]
fn a_quantised_head_is_apart_from_the_embedding_until_that_is_trained() {
    let source = open("llama").quantised(Some(Quant::Q8)).unwrap();
    let mut model = LanguageModel::load(&source).unwrap();
    let batch = Batch::new(&[TokenSequence::next_tokens((10..60).collect(), 5)]).unwrap();
    let apart = model.loss(&batch).unwrap();
    model.train("model.embed_tokens.weight").unwrap();
    let one = model.loss(&batch).unwrap();
    assert!(apart != one && (apart - one).abs() < 0.05 * one, "{apart} and {one}");
}
