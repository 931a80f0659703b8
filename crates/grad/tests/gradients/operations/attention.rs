//! Attention: grouped heads, windows, ragged batches, blocks of rows, and unrolled keys.

use tricorn_grad::ops::attention::{
    HeadAttention, KeyGradients, Keys,
    grouped::{HeadShape, Projected},
};

use super::{
    BACKWARD, FORWARD,
    reference::{attention, differences, weighted},
};
use crate::support::{assert_near, noise, wide};

#[test]
fn grouped_heads_over_a_ragged_batch() {
    for (kv_heads, window) in [(4, None), (2, None), (1, Some(3)), (2, Some(1)), (2, Some(50))] {
        let (heads, dim) = (4, 6);
        let sequences = [0..1, 1..8, 8..13];
        let rows = 13;
        let (q, k, v) = (
            noise(rows * heads * dim, 1),
            noise(rows * kv_heads * dim, 2),
            noise(rows * kv_heads * dim, 3),
        );
        let gradient = noise(rows * heads * dim, 4);
        let sees =
            |row, other| other <= row && window.is_none_or(|window: usize| row < other + window);
        let textbook = |x: [&[f64]; 3]| attention([heads, kv_heads, dim], &sequences, x, sees);
        let (wide_q, wide_k, wide_v) = (wide(&q), wide(&k), wide(&v));

        let shape = HeadShape { heads, kv_heads, dim, window };
        let projected = Projected { q: &q, k: &k, v: &v };
        let what = format!("{kv_heads} key-value heads, window {window:?}");
        let output = shape.forward(&sequences, projected);
        assert_near(&output, &textbook([&wide_q, &wide_k, &wide_v]), FORWARD, &what);
        let found = shape.backward(&sequences, projected, &gradient);
        let of = |x: [&[f64]; 3]| weighted(&textbook(x), &gradient);
        let expected = differences(&wide_v, |v| of([&wide_q, &wide_k, v]));
        assert_near(&found.v, &expected, BACKWARD, &what);
        if window == Some(1) {
            // A row that sees itself alone does not ask where.
            assert!(found.q.iter().chain(&found.k).all(|d| d.abs() < 1e-6));
            continue;
        }
        let expected = differences(&wide_q, |q| of([q, &wide_k, &wide_v]));
        assert_near(&found.q, &expected, BACKWARD, &what);
        let expected = differences(&wide_k, |k| of([&wide_q, k, &wide_v]));
        assert_near(&found.k, &expected, BACKWARD, &what);
    }
}

/// More rows than a block: values and some gradients, since all differences would take long.
#[test]
fn sequences_longer_than_a_block() {
    for window in [None, Some(40), Some(200)] {
        let (rows, dim) = (300, 4);
        let sequences = [0..20, 20..rows];
        let [q, k, v, gradient] = [1, 2, 3, 4].map(|seed| noise(rows * dim, seed));
        let sees =
            |row, other| other <= row && window.is_none_or(|window: usize| row < other + window);
        let textbook = |x: [&[f64]; 3]| attention([1, 1, dim], &sequences, x, sees);
        let (wide_q, wide_k, wide_v) = (wide(&q), wide(&k), wide(&v));
        let shape = HeadShape { heads: 1, kv_heads: 1, dim, window };
        let projected = Projected { q: &q, k: &k, v: &v };
        let output = shape.forward(&sequences, projected);
        assert_near(&output, &textbook([&wide_q, &wide_k, &wide_v]), FORWARD, "forward");
        let found = shape.backward(&sequences, projected, &gradient);
        // The slope along a direction is the gradient's product with it.
        for (name, gradients, place) in [("q", &found.q, 0), ("k", &found.k, 1), ("v", &found.v, 2)]
        {
            let direction = noise(rows * dim, 7);
            let at = |by: f64| {
                let mut x = [wide_q.clone(), wide_k.clone(), wide_v.clone()];
                x[place].iter_mut().zip(&direction).for_each(|(x, d)| *x += by * f64::from(*d));
                weighted(&textbook([&x[0], &x[1], &x[2]]), &gradient)
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            let computed = weighted(&wide(gradients), &direction);
            let size = wide(gradients).iter().map(|g| g * g).sum::<f64>().sqrt();
            assert!((slope - computed).abs() < 1e-4 * size, "{name}: {slope} and {computed}");
        }
    }
}

/// Two unrolled steps over a sequence, as drafters are trained: query row `i` sees the sequence up
/// to row `start + i` and row `i` of each step.
#[test]
fn unrolled_keys() {
    let (dim, start, queries, steps) = (4, 2, 3, 2);
    let keys = start + queries;
    let q = noise(queries * dim, 1);
    let (k, v) = (noise(keys * dim, 2), noise(keys * dim, 3));
    let [step_k, step_v] = [4, 8].map(|seed| {
        (0..steps).map(|step| noise(queries * dim, seed + step)).collect::<Vec<Vec<f32>>>()
    });
    let gradient = noise(queries * dim, 20);
    // As one sequence: all keys behind each other, and masks that pick them.
    let all = |first: &[f32], steps: &[Vec<f32>]| wide(&[first, &steps.concat()].concat());
    let (all_k, all_v) = (all(&k, &step_k), all(&v, &step_v));
    let rows = all_k.len() / dim;
    let textbook = |q: &[f64], k: &[f64], v: &[f64]| {
        let mut all_q = vec![0.0; rows * dim];
        all_q[..queries * dim].copy_from_slice(q);
        let sees = |row: usize, other: usize| {
            if row >= queries {
                row == other
            } else if other < keys {
                other <= start + row
            } else {
                (other - keys) % queries == row
            }
        };
        let whole = 0..rows;
        let y = attention([1, 1, dim], std::slice::from_ref(&whole), [&all_q, k, v], sees);
        y[..queries * dim].to_vec()
    };
    let seen = HeadAttention {
        dim,
        start,
        window: None,
        sequence: Keys { k: &k, v: &v },
        unrolled: step_k.iter().zip(&step_v).map(|(k, v)| Keys { k, v }).collect(),
    };
    let (output, weights) = seen.forward(&q);
    assert_near(&output, &textbook(&wide(&q), &all_k, &all_v), FORWARD, "forward");

    let mut of_sequence = KeyGradients::zero(keys * dim);
    let mut of_steps = vec![KeyGradients::zero(queries * dim); steps as usize];
    let d_q = seen.backward(
        &q,
        &weights,
        &gradient,
        &mut of_sequence,
        &mut of_steps.iter_mut().collect::<Vec<_>>(),
    );
    let of = |y: Vec<f64>| weighted(&y, &gradient);
    let expected = differences(&wide(&q), |q| of(textbook(q, &all_k, &all_v)));
    assert_near(&d_q, &expected, BACKWARD, "queries");
    let join = |first: Vec<f32>, pick: &dyn Fn(&KeyGradients) -> Vec<f32>| {
        [first, of_steps.iter().flat_map(pick).collect()].concat()
    };
    let expected = differences(&all_k, |k| of(textbook(&wide(&q), k, &all_v)));
    assert_near(&join(of_sequence.k.clone(), &|g| g.k.clone()), &expected, BACKWARD, "keys");
    let expected = differences(&all_v, |v| of(textbook(&wide(&q), &all_k, v)));
    assert_near(&join(of_sequence.v.clone(), &|g| g.v.clone()), &expected, BACKWARD, "values");
}
