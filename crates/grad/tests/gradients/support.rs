//! Noise, comparisons and the tiny models of tests/fixtures.

use std::path::{Path, PathBuf};

use rand_core::{Rng as _, SeedableRng};
use rand_xoshiro::SplitMix64;
use tricorn_grad::{Batch, LanguageModel, LoraConfig};
use tricorn_model::ModelSource;

pub(crate) const FAMILIES: [&str; 5] = ["llama", "llama-rope3", "mistral", "qwen2", "qwen3"];

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

pub(crate) fn open(name: &str) -> ModelSource {
    ModelSource::open(&fixtures().join(name)).unwrap()
}

/// Uniform numbers in `[0, 1)`.
pub(crate) fn uniform(seed: u64) -> impl FnMut() -> f64 {
    let mut random = SplitMix64::seed_from_u64(seed);
    move || (random.next_u64() >> 11) as f64 * 2.0_f64.powi(-53)
}

/// Numbers in `[-1, 1)`.
pub(crate) fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut uniform = uniform(seed);
    (0..count).map(|_| (2.0 * uniform() - 1.0) as f32).collect()
}

pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

pub(crate) fn norm(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The norm of the difference over the norm of what is expected.
pub(crate) fn distance(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let difference = found.iter().zip(expected).map(|(a, b)| f64::from(*a) - b);
    norm(difference) / norm(expected.iter().copied()).max(1e-12)
}

pub(crate) fn assert_near(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    let distance = distance(found, expected);
    assert!(distance <= tolerance, "{what}: {distance:.2e} from what is expected");
}

/// Adapters on all dense layers, of rank 2 to 4 layer by layer, both matrices at work.
pub(crate) fn add_adapters(model: &mut LanguageModel, seed: u64) {
    let names: Vec<String> = model.dense_layers().map(str::to_owned).collect();
    let mut uniform = uniform(seed);
    for (index, name) in names.iter().enumerate() {
        let config = LoraConfig { rank: 2 + index % 3, alpha: 5.0 };
        model.add_lora(name, config, &mut uniform).unwrap();
    }
    for values in model.parameters_mut().values_mut() {
        if values.iter().all(|v| *v == 0.0) {
            values.iter_mut().for_each(|v| *v = (0.4 * uniform() - 0.2) as f32);
        }
    }
}

/// Asserts that along a random direction of all parameters the loss has the slope that the
/// gradients say.
pub(crate) fn assert_slope(model: &mut LanguageModel, batch: &Batch, what: &str) {
    let (_, gradients) = model.loss_and_gradients(batch).unwrap();
    let size = norm(gradients.values().flatten().map(|&g| f64::from(g)));
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
        model.loss(batch).unwrap()
    };
    let by = 2e-4;
    let measured = (at(by) - at(-by)) / (2.0 * f64::from(by));
    assert!(
        (measured - computed).abs() < 1e-2 * size,
        "{what}: {measured} measured, {computed} computed, size {size}"
    );
    *model.parameters_mut() = start;
}
