//! Textbook code in `f64`, and central differences of it.

use std::ops::Range;

/// `sum(values * weights)`, a loss whose gradient with respect to `values` is `weights`.
pub(super) fn weighted(values: &[f64], weights: &[f32]) -> f64 {
    assert_eq!(values.len(), weights.len());
    values.iter().zip(weights).map(|(v, w)| v * f64::from(*w)).sum()
}

/// The gradient of `loss` at `x`, by central differences.
pub(super) fn differences(x: &[f64], loss: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let step = 1e-5;
    let mut moved = x.to_vec();
    (0..x.len())
        .map(|i| {
            let mut at = |by: f64| {
                moved[i] = x[i] + by;
                loss(&moved)
            };
            let slope = (at(step) - at(-step)) / (2.0 * step);
            moved[i] = x[i];
            slope
        })
        .collect()
}

pub(super) fn norm(x: &[f64], weight: &[f64], eps: f64) -> Vec<f64> {
    x.chunks_exact(weight.len())
        .flat_map(|row| {
            let mean = row.iter().map(|v| v * v).sum::<f64>() / row.len() as f64;
            let scale = (mean + eps).sqrt().recip();
            row.iter().zip(weight).map(move |(v, w)| v * scale * w).collect::<Vec<_>>()
        })
        .collect()
}

/// Rotary positions with linear scaling.
pub(super) fn rotate(
    x: &[f64],
    dim: usize,
    heads: usize,
    positions: &[usize],
    theta: f64,
    factor: f64,
) -> Vec<f64> {
    let mut y = x.to_vec();
    for (row, &position) in y.chunks_exact_mut(heads * dim).zip(positions) {
        for head in row.chunks_exact_mut(dim) {
            for i in 0..dim / 2 {
                let frequency = theta.powf(-2.0 * i as f64 / dim as f64) / factor;
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                let (a, b) = (head[i], head[i + dim / 2]);
                (head[i], head[i + dim / 2]) = (a * cos - b * sin, b * cos + a * sin);
            }
        }
    }
    y
}

pub(super) fn swiglu(gate: &[f64], up: &[f64]) -> Vec<f64> {
    gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect()
}

/// `x W^T + b`.
pub(super) fn linear(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let inputs = weight.len() / bias.len();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    x.chunks_exact(inputs)
        .flat_map(|x| weight.chunks_exact(inputs).zip(bias).map(move |(w, b)| dot(x, w) + b))
        .collect()
}

/// The sum over the rows of the cross-entropy in nats.
pub(super) fn cross_entropy(x: &[f64], weight: &[f64], hidden: usize, targets: &[u32]) -> f64 {
    let vocab = weight.len() / hidden;
    let logits = linear(x, weight, &vec![0.0; vocab]);
    logits
        .chunks_exact(vocab)
        .zip(targets)
        .map(|(row, &target)| row.iter().map(|v| v.exp()).sum::<f64>().ln() - row[target as usize])
        .sum()
}

/// Attention of grouped heads; `sees` tells whether a row sees another of its sequence.
pub(super) fn attention(
    [heads, kv_heads, dim]: [usize; 3],
    sequences: &[Range<usize>],
    [q, k, v]: [&[f64]; 3],
    sees: impl Fn(usize, usize) -> bool,
) -> Vec<f64> {
    let mut y = vec![0.0; q.len()];
    for rows in sequences {
        for (row, head) in rows.clone().flat_map(|row| (0..heads).map(move |head| (row, head))) {
            let at = (row * heads + head) * dim;
            let kv = |other: usize| (other * kv_heads + head * kv_heads / heads) * dim;
            let seen: Vec<usize> =
                rows.clone().filter(|other| sees(row - rows.start, other - rows.start)).collect();
            let score = |&other: &usize| {
                let product: f64 = (0..dim).map(|i| q[at + i] * k[kv(other) + i]).sum();
                (product / (dim as f64).sqrt()).exp()
            };
            let scores: Vec<f64> = seen.iter().map(score).collect();
            let sum: f64 = scores.iter().sum();
            for (&other, score) in seen.iter().zip(&scores) {
                (0..dim).for_each(|i| y[at + i] += score / sum * v[kv(other) + i]);
            }
        }
    }
    y
}
