//! Adapters: how they start, what they are called, and what they come to in a dense weight.

use tricorn_grad::{Batch, LanguageModel, LoraConfig, TokenSequence, kaiming_uniform};

use crate::support::{add_adapters, assert_near, open, uniform, wide};

fn batch() -> Batch {
    Batch::new(&[TokenSequence::next_tokens((1..40).collect(), 0)]).unwrap()
}

#[test]
fn a_new_adapter_changes_nothing_and_only_its_second_matrix_learns() {
    let mut model = LanguageModel::load(&open("qwen2")).unwrap();
    let before = model.loss(&batch()).unwrap();
    let config = LoraConfig { rank: 4, alpha: 8.0 };
    model.add_lora("model.layers.1.mlp.down_proj", config, &mut uniform(1)).unwrap();
    let (loss, gradients) = model.loss_and_gradients(&batch()).unwrap();
    assert_eq!(loss, before);
    let learns: Vec<bool> = gradients.values().map(|g| g.iter().any(|v| *v != 0.0)).collect();
    assert_eq!(learns, [false, true]);
}

#[test]
fn parameters_are_called_as_in_peft() {
    let mut model = LanguageModel::load(&open("llama")).unwrap();
    let config = LoraConfig { rank: 3, alpha: 8.0 };
    model.add_lora("model.layers.2.self_attn.k_proj", config, &mut uniform(1)).unwrap();
    let parameters: Vec<_> =
        model.parameters().iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect();
    let prefix = "base_model.model.model.layers.2.self_attn.k_proj";
    let expected = [
        (format!("{prefix}.lora_A.weight"), [3, 32]),
        (format!("{prefix}.lora_B.weight"), [16, 3]),
    ];
    assert!(
        parameters.iter().copied().eq(expected.iter().map(|(n, s)| (n.as_str(), s.as_slice())))
    );
}

#[test]
fn the_first_matrix_is_uniform_within_the_root_of_its_inputs() {
    let (count, inputs) = (20_000, 64);
    let values = kaiming_uniform(count, inputs, &mut uniform(5));
    let bound = (inputs as f32).sqrt().recip();
    assert!(values.iter().all(|v| v.abs() <= bound));
    let variance = values.iter().map(|v| f64::from(v * v)).sum::<f64>() / count as f64;
    let expected = f64::from(bound * bound) / 3.0;
    assert!((variance / expected - 1.0).abs() < 0.03, "{variance}, not {expected}");
}

/// A model whose weights are what adapters come to has the loss of the model with adapters.
#[test]
fn merged_weights_compute_what_adapters_do() {
    let source = open("llama-rope3");
    let mut adapted = LanguageModel::load(&source).unwrap();
    let plain = adapted.loss(&batch()).unwrap();
    add_adapters(&mut adapted, 4);
    let loss = adapted.loss(&batch()).unwrap();
    assert!((loss - plain).abs() > 1e-3);
    let mut dense = LanguageModel::load(&source).unwrap();
    let names: Vec<String> = dense.dense_layers().map(str::to_owned).collect();
    for name in names {
        let weight = format!("{name}.weight");
        dense.train(&weight).unwrap();
        let merged = adapted.merged(&name).unwrap();
        dense.parameters_mut().get_mut(&weight).unwrap().copy_from_slice(&merged);
    }
    let merged = dense.loss(&batch()).unwrap();
    assert!((merged - loss).abs() < 1e-5 * loss, "{merged}, not {loss}");
}

#[test]
fn adapters_are_saved_and_restored() {
    let source = open("mistral");
    let mut model = LanguageModel::load(&source).unwrap();
    add_adapters(&mut model, 4);
    let saved = model.parameters().to_safetensors().unwrap();
    let mut again = LanguageModel::load(&source).unwrap();
    add_adapters(&mut again, 5);
    assert_ne!(again.parameters(), model.parameters());
    again.parameters_mut().load_safetensors(&saved).unwrap();
    assert_eq!(again.parameters(), model.parameters());
    let mut other = LanguageModel::load(&open("llama")).unwrap();
    add_adapters(&mut other, 5);
    assert!(other.parameters_mut().load_safetensors(&saved).is_err());
}

#[test]
fn merging_adds_the_scaled_product() {
    let (a, b) = ([1.0, 2.0, 3.0, 4.0], [0.5, -1.0, 2.0, 0.0, 1.0, 1.0]);
    let mut weight = vec![1.0; 6];
    tricorn_grad::merge(&mut weight, &a, &b, LoraConfig { rank: 2, alpha: 4.0 });
    // 1 + 2 * B A, with A of rows (1, 2) and (3, 4).
    assert_near(&weight, &wide(&[-4.0, -5.0, 5.0, 9.0, 9.0, 13.0]), 1e-7, "merged");
}
