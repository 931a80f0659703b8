//! Each operation against textbook code in `f64`, and its gradients against central differences of
//! that.

mod attention;
mod reference;

use reference::{differences, weighted};
use tricorn_grad::ops::{
    cross_entropy::Head,
    embedding,
    linear::{self, PackedWeight, Weight},
    norm,
    rotary::Angles,
    swiglu,
};
use tricorn_model::config::{Rope, RopeScaling};

use crate::support::{assert_near, noise, wide};

const FORWARD: f64 = 1e-5;
const BACKWARD: f64 = 1e-4;

#[test]
fn norms() {
    let (rows, width, eps) = (5, 24, 1e-3);
    let (x, weight, gradient) = (noise(rows * width, 1), noise(width, 2), noise(rows * width, 3));
    let (unit, normed) = norm::forward(&x, &weight, eps);
    let textbook = |x: &[f64], w: &[f64]| reference::norm(x, w, f64::from(eps));
    let (wide_x, wide_w) = (wide(&x), wide(&weight));
    assert_near(&normed, &textbook(&wide_x, &wide_w), FORWARD, "forward");
    let expected = differences(&wide_x, |x| weighted(&textbook(x, &wide_w), &gradient));
    assert_near(&norm::input_gradient(&x, &weight, eps, &gradient), &expected, BACKWARD, "input");
    let expected = differences(&wide_w, |w| weighted(&textbook(&wide_x, w), &gradient));
    assert_near(&norm::weight_gradient(&gradient, &unit, width), &expected, BACKWARD, "weight");
}

#[test]
fn rotations() {
    let (dim, heads, positions) = (8, 3, [0, 5, 6, 200]);
    let rope = Rope { theta: 10_000.0, scaling: RopeScaling::Linear { factor: 2.0 } };
    let width = heads * dim;
    let (x, gradient) = (noise(positions.len() * width, 1), noise(positions.len() * width, 2));
    let textbook = |x: &[f64]| reference::rotate(x, dim, heads, &positions, 10_000.0, 2.0);
    let angles = Angles::at(&rope, dim, &positions);
    let mut rotated = x.clone();
    angles.rotate(&mut rotated, width);
    assert_near(&rotated, &textbook(&wide(&x)), FORWARD, "forward");
    let expected = differences(&wide(&x), |x| weighted(&textbook(x), &gradient));
    let mut back = gradient.clone();
    angles.rotate_back(&mut back, width);
    assert_near(&back, &expected, BACKWARD, "backward");
}

#[test]
fn swiglus() {
    let (gate, up, gradient) = (noise(60, 1), noise(60, 2), noise(60, 3));
    let gate: Vec<f32> = gate.iter().map(|g| 6.0 * g).collect();
    let textbook = reference::swiglu;
    let (wide_gate, wide_up) = (wide(&gate), wide(&up));
    assert_near(&swiglu::forward(&gate, &up), &textbook(&wide_gate, &wide_up), FORWARD, "forward");
    let (d_gate, d_up) = swiglu::backward(&gate, &up, &gradient);
    let expected = differences(&wide_gate, |gate| weighted(&textbook(gate, &wide_up), &gradient));
    assert_near(&d_gate, &expected, BACKWARD, "gate");
    let expected = differences(&wide_up, |up| weighted(&textbook(&wide_gate, up), &gradient));
    assert_near(&d_up, &expected, BACKWARD, "up");
}

#[test]
fn dense_layers() {
    let (rows, inputs, outputs) = (4, 20, 37);
    let (x, weight, bias) =
        (noise(rows * inputs, 1), noise(outputs * inputs, 2), noise(outputs, 3));
    let gradient = noise(rows * outputs, 4);
    let textbook = |x: &[f64], w: &[f64], b: &[f64]| reference::linear(x, w, b);
    let (wide_x, wide_w, wide_b) = (wide(&x), wide(&weight), wide(&bias));
    let mut y = linear::forward(&x, Weight::Values(&weight), inputs, outputs);
    linear::add_bias(&mut y, &bias);
    assert_near(&y, &textbook(&wide_x, &wide_w, &wide_b), FORWARD, "forward");

    let expected = differences(&wide_x, |x| weighted(&textbook(x, &wide_w, &wide_b), &gradient));
    let dx = linear::input_gradient(&gradient, Weight::Values(&weight), inputs, outputs);
    assert_near(&dx, &expected, BACKWARD, "input");
    let expected = differences(&wide_w, |w| weighted(&textbook(&wide_x, w, &wide_b), &gradient));
    let dw = linear::weight_gradient(&gradient, outputs, &x, inputs);
    assert_near(&dw, &expected, BACKWARD, "weight");
    let expected = differences(&wide_b, |b| weighted(&textbook(&wide_x, &wide_w, b), &gradient));
    assert_near(&linear::bias_gradient(&gradient, outputs), &expected, BACKWARD, "bias");

    let packed = PackedWeight::new(&weight, inputs);
    let plain = linear::forward(&x, Weight::Values(&weight), inputs, outputs);
    assert_eq!(packed.forward(&x), plain);
    assert_eq!(packed.weight_gradient(&gradient, &x), dw);
    assert_near(&packed.input_gradient(&gradient), &wide(&dx), FORWARD, "packed");
}

#[test]
fn embeddings() {
    let (hidden, vocab) = (6, 9);
    let (table, tokens) = (noise(vocab * hidden, 1), [3, 0, 3, 8]);
    let rows = embedding::forward(Weight::Values(&table), hidden, &tokens);
    for (row, &token) in rows.chunks_exact(hidden).zip(&tokens) {
        assert_eq!(row, &table[token as usize * hidden..][..hidden]);
    }
    let gradient = noise(tokens.len() * hidden, 2);
    let mut sums = vec![0.0; table.len()];
    embedding::add_weight_gradient(&gradient, &tokens, hidden, &mut sums);
    let textbook = |table: &[f64]| {
        let row = |token: &u32| table[*token as usize * hidden..][..hidden].to_vec();
        weighted(&tokens.iter().flat_map(row).collect::<Vec<f64>>(), &gradient)
    };
    assert_near(&sums, &differences(&wide(&table), textbook), BACKWARD, "table");
}

#[test]
fn heads_with_cross_entropy() {
    let (hidden, vocab) = (10, 30);
    let (rows, table) = (noise(4 * hidden, 1), noise(vocab * hidden, 2));
    let (targets, share) = ([7, 0, 29, 7], 0.25);
    let textbook = |x: &[f64], w: &[f64]| reference::cross_entropy(x, w, hidden, &targets);
    let (wide_x, wide_w) = (wide(&rows), wide(&table));
    let head = Head { weight: Weight::Values(&table), hidden, vocab };
    let mut d_table = vec![0.0; table.len()];
    let (loss, d_rows) = head.loss_and_gradient(&rows, &targets, share, Some(&mut d_table));
    assert!((loss - textbook(&wide_x, &wide_w)).abs() < 1e-5);
    assert_eq!(head.loss(&rows, &targets), loss);
    let mean = |loss: f64| loss * f64::from(share);
    let expected = differences(&wide_x, |x| mean(textbook(x, &wide_w)));
    assert_near(&d_rows, &expected, BACKWARD, "rows");
    let expected = differences(&wide_w, |w| mean(textbook(&wide_x, w)));
    assert_near(&d_table, &expected, BACKWARD, "table");
}
