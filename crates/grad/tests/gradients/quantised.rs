//! Frozen weights in every format, in blocks of rows.

use tricorn_grad::{
    Batch, LanguageModel, TokenSequence,
    ops::linear::{Weight, forward, input_gradient},
};
use tricorn_kernels::{Dtype, RawTensor, quant::encode};
use tricorn_model::quant::Quant;

use crate::support::{add_adapters, assert_slope, noise, open};

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
        assert_slope(&mut model, &batch, &format!("{name} in {quant}"));
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
