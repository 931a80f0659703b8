//! Whole models of every family against PyTorch's gradients (tools/make_grad_fixtures.py).

use safetensors::{SafeTensors, tensor::TensorView};
use serde::Deserialize;
use tricorn_grad::{Batch, Gradients, LanguageModel, LoraConfig, TokenSequence};

use crate::support::{FAMILIES, fixtures, norm, open, uniform};

/// Of a gradient's norm.
const TOLERANCE: f64 = 1e-3;
/// Of the loss.
const LOSS_TOLERANCE: f64 = 1e-5;
const WAVES: [f64; 3] = [0.37, 1.13, 2.71];
const SAMPLES: usize = 48;

#[derive(Deserialize)]
struct Case {
    loss: f64,
    lora_loss: f64,
    alpha: f32,
    ranks: Vec<usize>,
    sequences: Vec<Tokens>,
}

#[derive(Deserialize)]
struct Tokens {
    tokens: Vec<u32>,
    first_target: usize,
}

struct Fixture {
    bytes: Vec<u8>,
    case: Case,
}

impl Fixture {
    fn read(name: &str) -> Self {
        let bytes = std::fs::read(fixtures().join(format!("grad/{name}.safetensors"))).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let case = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["case"]).unwrap();
        Self { bytes, case }
    }

    fn batch(&self) -> Batch {
        let sequence = |t: &Tokens| TokenSequence::next_tokens(t.tokens.clone(), t.first_target);
        Batch::new(&self.case.sequences.iter().map(sequence).collect::<Vec<_>>()).unwrap()
    }
}

/// Norm, products with the waves and a sample, as the script takes them.
struct Summary {
    norm: f64,
    products: Vec<f64>,
    samples: Vec<f64>,
}

impl Summary {
    fn stored(tensor: &TensorView<'_>) -> Self {
        let numbers: Vec<f64> = (tensor.data().as_chunks().0.iter())
            .map(|&bytes| f64::from(f32::from_le_bytes(bytes)))
            .collect();
        let (products, samples) = numbers[1..].split_at(WAVES.len());
        Self { norm: numbers[0], products: products.to_vec(), samples: samples.to_vec() }
    }

    fn of(gradient: &[f32]) -> Self {
        let product = |frequency: f64| {
            let waves = (0..gradient.len()).map(|i| (frequency * i as f64).sin());
            gradient.iter().zip(waves).map(|(&g, wave)| f64::from(g) * wave).sum()
        };
        let (count, samples) = (gradient.len(), SAMPLES.min(gradient.len()));
        Self {
            norm: norm(gradient.iter().map(|&g| f64::from(g))),
            products: WAVES.map(product).to_vec(),
            samples: (0..samples).map(|i| f64::from(gradient[i * count / samples])).collect(),
        }
    }

    /// The largest difference of norm, products and samples, over the norm of the whole gradient or
    /// of the samples.
    fn distance(&self, expected: &Self) -> f64 {
        let apart = |a: &[f64], b: &[f64]| norm(a.iter().zip(b).map(|(a, b)| a - b));
        let of_samples = norm(expected.samples.iter().copied()).max(1e-3 * expected.norm);
        [
            (self.norm - expected.norm).abs() / expected.norm,
            apart(&self.products, &expected.products) / expected.norm,
            apart(&self.samples, &expected.samples) / of_samples,
        ]
        .into_iter()
        .fold(0.0, f64::max)
    }
}

/// Compares all gradients with the stored ones and returns the largest distance.
fn compare(name: &str, model: &LanguageModel, gradients: &Gradients, fixture: &Fixture) -> f64 {
    let stored = SafeTensors::deserialize(&fixture.bytes).unwrap();
    let mut largest = 0.0_f64;
    for (parameter, gradient) in model.parameters().iter().zip(gradients.values()) {
        let expected = Summary::stored(&stored.tensor(&parameter.name).unwrap());
        let distance = Summary::of(gradient).distance(&expected);
        assert!(distance < TOLERANCE, "{name}: {} is off by {distance:.1e}", parameter.name);
        largest = largest.max(distance);
    }
    largest
}

#[test]
fn gradients_of_all_tensors_equal_pytorchs() {
    for name in FAMILIES {
        let fixture = Fixture::read(name);
        let mut model = LanguageModel::load(&open(name)).unwrap();
        let stored = SafeTensors::deserialize(&fixture.bytes).unwrap();
        for tensor in stored.names().into_iter().filter(|name| !name.starts_with("base_model.")) {
            model.train(tensor).unwrap();
        }
        let (loss, gradients) = model.loss_and_gradients(&fixture.batch()).unwrap();
        let off = (loss - fixture.case.loss).abs() / fixture.case.loss;
        assert!(off < LOSS_TOLERANCE, "{name}: loss {loss}, not {}", fixture.case.loss);
        assert!((model.loss(&fixture.batch()).unwrap() - loss).abs() < 1e-9);
        let largest = compare(name, &model, &gradients, &fixture);
        println!("{name}: loss off by {off:.1e}, gradients by at most {largest:.1e}");
    }
}

#[test]
fn gradients_of_adapters_equal_pytorchs() {
    const PROJECTIONS: [&str; 7] = [
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    ];
    for name in FAMILIES {
        let fixture = Fixture::read(name);
        let mut model = LanguageModel::load(&open(name)).unwrap();
        for (layer, &rank) in fixture.case.ranks.iter().enumerate() {
            for (index, projection) in PROJECTIONS.iter().enumerate() {
                let config = LoraConfig { rank, alpha: fixture.case.alpha };
                let dense = format!("model.layers.{layer}.{projection}");
                model.add_lora(&dense, config, &mut uniform(0)).unwrap();
                let phase = layer as f64 + 0.1 * index as f64;
                for (which, frequency) in [("A", 0.7), ("B", 1.3)] {
                    let name = format!("base_model.model.{dense}.lora_{which}.weight");
                    let values = model.parameters_mut().get_mut(&name).unwrap();
                    for (i, value) in values.iter_mut().enumerate() {
                        *value = (0.3 * (frequency * i as f64 + phase).sin()) as f32;
                    }
                }
            }
        }
        let (loss, gradients) = model.loss_and_gradients(&fixture.batch()).unwrap();
        let off = (loss - fixture.case.lora_loss).abs() / fixture.case.lora_loss;
        assert!(off < LOSS_TOLERANCE, "{name}: loss {loss}, not {}", fixture.case.lora_loss);
        let largest = compare(name, &model, &gradients, &fixture);
        println!("{name}: loss off by {off:.1e}, gradients by at most {largest:.1e}");
    }
}
