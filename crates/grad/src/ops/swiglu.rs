//! SwiGLU (Shazeer 2020, arXiv 2002.05202): `silu(gate) * up`, number by number.

/// `silu(gate) * up`.
#[must_use]
pub fn forward(gate: &[f32], up: &[f32]) -> Vec<f32> {
    gate.iter().zip(up).map(|(&g, u)| g * sigmoid(g) * u).collect()
}

/// The gradients of `gate` and `up`, given that of the output.
#[must_use]
pub fn backward(gate: &[f32], up: &[f32], gradient: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (mut d_gate, mut d_up) =
        (Vec::with_capacity(gradient.len()), Vec::with_capacity(gradient.len()));
    for ((d, &g), u) in gradient.iter().zip(gate).zip(up) {
        let s = sigmoid(g);
        d_gate.push(d * u * s * (1.0 + g * (1.0 - s)));
        d_up.push(d * g * s);
    }
    (d_gate, d_up)
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
