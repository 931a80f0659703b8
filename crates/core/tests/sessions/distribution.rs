//! Text sampled with drafts is distributed as the model says.

use tricorn_core::{DraftPolicy, SamplingParams, SessionConfig, TurnOptions};

use crate::sessions::{model::Model, world::World};

const TEMPERATURE: f32 = 0.8;
const TEXTS: usize = 30_000;

fn softmax(logits: &[f32], temperature: f32) -> Vec<f64> {
    let weights: Vec<f64> =
        logits.iter().map(|&logit| f64::from(logit / temperature).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

/// Half the sum of absolute differences between the counted and the expected frequencies.
fn total_variation(counts: &[usize], expected: &[f64]) -> f64 {
    counts
        .iter()
        .zip(expected)
        .map(|(&count, p)| (count as f64 / TEXTS as f64 - p).abs())
        .sum::<f64>()
        / 2.0
}

#[test]
fn drafts_leave_the_distribution_of_texts_alone() {
    let vocab = 4;
    let prompt = [1, 2, 3];
    let model = |seed, drafter_skill| Model {
        seed: 11,
        vocab,
        output_layers: 0,
        sampling: SamplingParams::new(TEMPERATURE, seed).unwrap(),
        language: None,
        drafter_skill,
        middle_layers: 1,
    };
    let exact = |temperature| -> Vec<f64> {
        let probabilities =
            |text: &[u32]| softmax(&model(0, 0).whole(&[&prompt, text].concat()), temperature);
        let texts = (0..vocab.pow(3)).map(|n| [n / 16, n / 4 % 4, n % 4]);
        texts
            .map(|text| (0..3).map(|i| probabilities(&text[..i])[text[i] as usize]).product())
            .collect()
    };
    let config =
        SessionConfig { context: 16, max_append_rows: 16, max_queued_rows: 16, output_layers: 0 };
    let options = TurnOptions {
        max_new_tokens: 3,
        draft: DraftPolicy::up_to(3, 0.0),
        ..TurnOptions::default()
    };
    for drafter_skill in [0, 8] {
        let mut counts = vec![0; 64];
        for seed in 0..TEXTS as u64 {
            let mut world = World::new(model(seed, drafter_skill), config);
            world.device.session.start_turn(prompt.to_vec(), options.clone()).unwrap();
            world.finish();
            let index = world
                .device
                .session
                .generated()
                .iter()
                .fold(0, |index, &token| index * 4 + token as usize);
            counts[index] += 1;
        }
        // 30,000 draws over 64 texts lie about 0.016 from their distribution.
        let distance = total_variation(&counts, &exact(TEMPERATURE));
        assert!(distance < 0.025, "{distance}");
        // The test can fail: it tells temperature 0.8 from 0.9.
        let from_another = total_variation(&counts, &exact(0.9));
        assert!(from_another > 0.04, "{from_another}");
    }
}
