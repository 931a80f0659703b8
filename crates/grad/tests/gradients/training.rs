//! Training with adapters and with tensors of the model's own.

use tricorn_grad::{
    AdamW, AdamWSettings, Batch, Decay, Group, LanguageModel, LoraConfig, Schedule, TokenSequence,
};
use tricorn_model::quant::Quant;

use crate::support::{open, uniform};

fn learn(model: &mut LanguageModel, rate: f64, steps: u64, batch: &Batch) -> (f64, f64) {
    let groups = vec![
        Group::new("matrices").weight_decay(0.01).clip_norm(1.0),
        Group::new("norms").rate_scale(0.1).clip_elements(0.5),
    ];
    let members = model.parameters().members_by(|parameter| {
        if parameter.shape.len() == 1 { "norms" } else { "matrices" }.to_owned()
    });
    let mut optimizer = AdamW::new(AdamWSettings::default(), groups, members).unwrap();
    let schedule = Schedule { peak: rate, warmup: 10, decay: Decay::Cosine { floor: 0.1 } };
    let first = model.loss(batch).unwrap();
    for step in 1..=steps {
        let (_, gradients) = model.loss_and_gradients(batch).unwrap();
        let rate = schedule.rate(step, step as f64 / steps as f64);
        optimizer.step(rate, model.parameters_mut().values_mut(), gradients.values()).unwrap();
    }
    (first, model.loss(batch).unwrap())
}

fn sentence() -> Batch {
    let tokens = (0..24).map(|i| (i * 37 + 11) % 270).collect();
    Batch::new(&[TokenSequence::next_tokens(tokens, 0)]).unwrap()
}

#[test]
fn adapters_learn_a_sentence_by_heart() {
    for (name, quant) in [("qwen3", None), ("llama", Some(Quant::Q8))] {
        let source = open(name).quantised(quant).unwrap();
        let mut model = LanguageModel::load(&source).unwrap();
        let names: Vec<String> = model.dense_layers().map(str::to_owned).collect();
        let mut uniform = uniform(7);
        for name in &names {
            let config = LoraConfig { rank: 4, alpha: 8.0 };
            model.add_lora(name, config, &mut uniform).unwrap();
        }
        let (first, last) = learn(&mut model, 0.02, 200, &sentence());
        assert!(first > 5.0 && last < 0.05, "{name}: from {first} to {last}");
    }
}

#[test]
fn tensors_of_the_model_learn_too() {
    let mut model = LanguageModel::load(&open("mistral")).unwrap();
    for name in ["lm_head.weight", "model.norm.weight", "model.layers.3.mlp.down_proj.weight"] {
        model.train(name).unwrap();
    }
    let (first, last) = learn(&mut model, 0.02, 100, &sentence());
    assert!(first > 5.0 && last < 0.05, "from {first} to {last}");
}
