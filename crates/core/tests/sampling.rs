//! The sampler draws from the softmax, and the statistic that says so rejects samplers that do not.

use tricorn_core::{SamplingParams, choose};

const LOGITS: [f32; 8] = [2.0, 1.5, 1.0, 0.5, 0.0, -0.5, -1.0, -2.0];
const TEMPERATURE: f32 = 0.8;
const DRAWS: usize = 60_000;

fn params(seed: u64) -> SamplingParams {
    SamplingParams::new(TEMPERATURE, seed).unwrap()
}

fn softmax(logits: &[f32], temperature: f32) -> Vec<f64> {
    let weights: Vec<f64> =
        logits.iter().map(|&logit| f64::from(logit / temperature).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

/// Pearson's statistic of the drawn categories, as a multiple of the value that a right sampler
/// exceeds once in a million (the Wilson-Hilferty approximation of the chi-square quantile).
fn excess(draws: impl Iterator<Item = usize>, expected: &[f64]) -> f64 {
    let mut counts = vec![0.0; expected.len()];
    let mut total = 0.0;
    for draw in draws {
        counts[draw] += 1.0;
        total += 1.0;
    }
    let statistic: f64 = counts
        .iter()
        .zip(expected)
        .map(|(count, p)| (count - total * p).powi(2) / (total * p))
        .sum();
    let freedom = expected.len() as f64 - 1.0;
    let variance = 2.0 / (9.0 * freedom);
    let quantile = freedom * (1.0 - variance + 4.753 * variance.sqrt()).powi(3);
    statistic / quantile
}

fn pairs(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().flat_map(|p| b.iter().map(move |q| p * q)).collect()
}

#[test]
fn draws_follow_the_softmax_over_seeds_and_over_positions() {
    let expected = softmax(&LOGITS, TEMPERATURE);
    let over_seeds = (0..DRAWS).map(|seed| choose(&LOGITS, &params(seed as u64), 9) as usize);
    assert!(excess(over_seeds, &expected) < 1.0);
    let over_positions = (0..DRAWS).map(|pos| choose(&LOGITS, &params(5), pos) as usize);
    assert!(excess(over_positions, &expected) < 1.0);
}

#[test]
fn neighbouring_positions_and_seeds_are_independent() {
    let single = softmax(&LOGITS, TEMPERATURE);
    let expected = pairs(&single, &single);
    let draw = |seed, pos| choose(&LOGITS, &params(seed), pos) as usize;
    let positions = (0..DRAWS).map(|i| draw(5, 2 * i) * 8 + draw(5, 2 * i + 1));
    assert!(excess(positions, &expected) < 1.0);
    let seeds = (0..DRAWS as u64).map(|i| draw(2 * i, 3) * 8 + draw(2 * i + 1, 3));
    assert!(excess(seeds, &expected) < 1.0);
    // A seed and a position that trade places must not share their noise either.
    let swapped = (1..DRAWS as u64).map(|i| draw(i, 0) * 8 + draw(0, i as usize));
    assert!(excess(swapped, &expected) < 1.0);
}

#[test]
fn the_statistic_rejects_biased_samplers() {
    let expected = softmax(&LOGITS, TEMPERATURE);
    let warmer = SamplingParams::new(0.9, 0).unwrap();
    let wrong_temperature = (0..DRAWS).map(|pos| choose(&LOGITS, &warmer, pos) as usize);
    assert!(excess(wrong_temperature, &expected) > 2.0);

    // Keeping whatever the drafter sampled when the target finds it likely, the usual shortcut.
    let drafter: Vec<f32> = LOGITS.iter().map(|logit| logit * 0.9).collect();
    let shortcut = (0..DRAWS).map(|pos| {
        let draft = choose(&drafter, &params(1), pos) as usize;
        if expected[draft] > 0.2 { draft } else { choose(&LOGITS, &params(2), pos) as usize }
    });
    assert!(excess(shortcut, &expected) > 2.0);
}

#[test]
fn shared_noise_makes_drafts_right_more_often_than_luck() {
    let drafter: Vec<f32> =
        LOGITS.iter().rev().zip(LOGITS).map(|(other, logit)| 0.9 * logit + 0.1 * other).collect();
    let agreement = |seed| {
        let agree =
            |&pos: &usize| choose(&LOGITS, &params(1), pos) == choose(&drafter, &params(seed), pos);
        (0..DRAWS).filter(agree).count() as f64 / DRAWS as f64
    };
    let (p, q) = (softmax(&LOGITS, TEMPERATURE), softmax(&drafter, TEMPERATURE));
    let distance = p.iter().zip(&q).map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0;
    // The guarantee of Daliri, Musco and Suresh 2024: (1 - d) / (1 + d) at total variation distance
    // d.
    assert!(agreement(1) > (1.0 - distance) / (1.0 + distance) - 0.01);
    assert!(agreement(2) < 0.6 * agreement(1));
}
