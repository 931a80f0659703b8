//! Whole models: batches, positions, what is left out of the backward pass, and errors.

use rayon::ThreadPoolBuilder;
use tricorn_grad::{
    Batch, DecoderLayer, GradError, Gradients, LanguageModel, LayerConfig, LoraConfig, Target,
    TokenSequence,
};

use crate::support::{FAMILIES, add_adapters, distance, noise, open, uniform, wide};

fn tokens(count: usize, seed: u64) -> Vec<u32> {
    noise(count, seed).iter().map(|v| ((v + 1.0) * 130.0) as u32).collect()
}

fn batch(sequences: &[TokenSequence]) -> Batch {
    Batch::new(sequences).unwrap()
}

fn with_adapters(name: &str) -> LanguageModel {
    let mut model = LanguageModel::load(&open(name)).unwrap();
    add_adapters(&mut model, 3);
    model
}

fn bits(gradients: &Gradients) -> Vec<u32> {
    gradients.values().flatten().map(|g| g.to_bits()).collect()
}

#[test]
fn a_packed_batch_is_the_mean_of_its_sequences() {
    let model = with_adapters("mistral");
    let sequences = [(20, 0), (33, 12), (2, 0)]
        .map(|(count, first)| TokenSequence::next_tokens(tokens(count, count as u64), first));
    let (loss, gradients) = model.loss_and_gradients(&batch(&sequences)).unwrap();
    let (mut mean, mut count) = (0.0, 0);
    let mut sum: Option<Gradients> = None;
    for sequence in sequences {
        let alone = batch(&[sequence]);
        let (loss, mut gradients) = model.loss_and_gradients(&alone).unwrap();
        mean += loss * alone.targets() as f64;
        count += alone.targets();
        gradients.scale(alone.targets() as f32);
        match &mut sum {
            Some(sum) => sum.add(&gradients),
            None => sum = Some(gradients),
        }
    }
    assert!((loss - mean / count as f64).abs() < 1e-6 * loss, "{loss}");
    let mut sum = sum.unwrap();
    sum.scale((count as f32).recip());
    for (found, expected) in gradients.values().zip(sum.values()) {
        assert!(distance(found, &wide(expected)) < 1e-4);
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for name in FAMILIES {
        let mut model = with_adapters(name);
        model.train("model.embed_tokens.weight").unwrap();
        let batch = batch(&[
            TokenSequence::next_tokens(tokens(150, 1), 0),
            TokenSequence::next_tokens(tokens(9, 2), 3),
        ]);
        let results = [1, 2, 5].map(|threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (loss, gradients) = pool.install(|| model.loss_and_gradients(&batch)).unwrap();
            (loss.to_bits(), bits(&gradients))
        });
        assert!(results[0] == results[1] && results[1] == results[2], "{name}");
    }
}

#[test]
fn only_distances_between_positions_matter() {
    let model = with_adapters("qwen3");
    let at = |position| TokenSequence { position, ..TokenSequence::next_tokens(tokens(30, 5), 0) };
    let (near, gradients) = model.loss_and_gradients(&batch(&[at(0)])).unwrap();
    let (far, moved) = model.loss_and_gradients(&batch(&[at(100)])).unwrap();
    assert!((near - far).abs() < 1e-4 * near, "{near} and {far}");
    for (a, b) in gradients.values().zip(moved.values()) {
        assert!(distance(a, &wide(b)) < 1e-2);
    }
}

#[test]
fn layers_below_the_lowest_parameter_change_nothing() {
    let source = open("llama");
    let batch = batch(&[TokenSequence::next_tokens(tokens(25, 5), 0)]);
    let gradient = |names: &[&str]| {
        let mut model = LanguageModel::load(&source).unwrap();
        names.iter().for_each(|name| model.train(name).unwrap());
        let (_, gradients) = model.loss_and_gradients(&batch).unwrap();
        gradients.values().next().unwrap().to_vec()
    };
    let top = "model.layers.3.mlp.up_proj.weight";
    let alone = gradient(&[top]);
    assert_eq!(alone, gradient(&[top, "model.layers.0.self_attn.k_proj.bias"]));
    assert_eq!(alone, gradient(&[top, "model.embed_tokens.weight"]));
    assert!(alone.iter().any(|g| *g != 0.0));
}

#[test]
fn a_model_without_parameters_has_a_loss_and_no_gradients() {
    let model = LanguageModel::load(&open("qwen2")).unwrap();
    let batch = batch(&[TokenSequence::next_tokens(tokens(12, 5), 0)]);
    let (loss, gradients) = model.loss_and_gradients(&batch).unwrap();
    assert_eq!((gradients.values().len(), loss), (0, model.loss(&batch).unwrap()));
}

/// Whole, without attention, without a feed-forward half, and without both.
#[test]
fn a_layer_alone_has_the_gradient_of_its_input() {
    let source = open("qwen3");
    let model = with_adapters("qwen3");
    let batch = batch(&[TokenSequence::next_tokens(tokens(7, 5), 0)]);
    let (parameters, rows) = (model.parameters(), batch.rows());
    let whole = *model.layers()[2].config();
    let part = |config| DecoderLayer::load(&source, 2, config).unwrap();
    let parts = [
        part(LayerConfig { heads: 0, ..whole }),
        part(LayerConfig { intermediate: 0, ..whole }),
        part(LayerConfig { heads: 0, intermediate: 0, ..whole }),
    ];
    let (x, gradient) = (noise(rows.len() * whole.hidden, 1), noise(rows.len() * whole.hidden, 2));
    let direction = noise(x.len(), 3);
    for layer in [&model.layers()[2]].into_iter().chain(&parts) {
        let (_, mut sums) = model.loss_and_gradients(&batch).unwrap();
        let found = layer.backward(parameters, rows, &x, &gradient, &mut sums);
        let at = |by: f32| {
            let moved: Vec<f32> = x.iter().zip(&direction).map(|(x, d)| x + by * d).collect();
            let y = layer.forward(parameters, rows, &moved);
            y.iter().zip(&gradient).map(|(y, g)| f64::from(*y) * f64::from(*g)).sum::<f64>()
        };
        let slope = (at(1e-3) - at(-1e-3)) / 2e-3;
        let computed: f64 =
            found.iter().zip(&direction).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
        let size = wide(&found).iter().map(|g| g * g).sum::<f64>().sqrt();
        let config = layer.config();
        assert!((slope - computed).abs() < 1e-2 * size, "{slope} and {computed}, {config:?}");
    }
    let nothing = parts[2].forward(parameters, rows, &x);
    assert_eq!(nothing, x);
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut model = LanguageModel::load(&open("llama")).unwrap();
    let config = LoraConfig { rank: 2, alpha: 4.0 };
    let error = |result: Result<(), GradError>| result.unwrap_err().to_string();
    let mut add = |name: &str, config| model.add_lora(name, config, &mut uniform(1));
    assert!(error(add("model.layers.9.mlp.up_proj", config)).contains("no dense layer"));
    let wide = LoraConfig { rank: 33, ..config };
    assert!(error(add("model.layers.0.mlp.up_proj", wide)).contains("of rank 33"));
    let none = LoraConfig { rank: 0, ..config };
    assert!(error(add("model.layers.0.mlp.up_proj", none)).contains("use 1 to 32"));
    add("model.layers.0.mlp.up_proj", config).unwrap();
    assert!(error(add("model.layers.0.mlp.up_proj", config)).contains("is trained already"));
    model.train("model.norm.weight").unwrap();
    assert!(error(model.train("model.norm.weight")).contains("is trained already"));
    assert!(error(model.train("lm_head.weight")).contains("no tensor lm_head.weight"));

    let sequence = |tokens: Vec<u32>, targets| TokenSequence { tokens, position: 0, targets };
    let error = |sequence| Batch::new(&[sequence]).unwrap_err().to_string();
    assert!(error(sequence(vec![], vec![])).contains("sequence 0 of the batch has no tokens"));
    assert!(error(sequence(vec![1], vec![])).contains("no target"));
    let behind = vec![Target { row: 1, token: 2 }];
    assert!(error(sequence(vec![1], behind)).contains("row 1 of a sequence of 1"));
    let unknown = batch(&[sequence(vec![1], vec![Target { row: 0, token: 280 }])]);
    let error = model.loss(&unknown).unwrap_err().to_string();
    assert_eq!(error, "token 280 in a vocabulary of 280");
}
