//! Elementwise operations on rows.

use crate::simd::{isa::multiversion, math::exp};

multiversion! {
    /// `out[i] = silu(gate[i]) * up[i]` where a row of `gate_up` is `[gate (n) | up (n)]`; `out` is
    /// rows x n.
    pub fn swiglu(gate_up: &[f32], n: usize, out: &mut [f32]) {
        for (row, out) in gate_up.chunks_exact(2 * n).zip(out.chunks_exact_mut(n)) {
            let (gate, up) = row.split_at(n);
            for ((out, &g), &u) in out.iter_mut().zip(gate).zip(up) {
                *out = g / (1.0 + exp(-g)) * u;
            }
        }
    }
}

multiversion! {
    /// Rotates heads in place by one position's angles, `head_dim / 2` cosines and sines; pairs are
    /// `(i, i + head_dim / 2)`, as in HF transformers.
    pub fn rotate(heads: &mut [f32], cos: &[f32], sin: &[f32]) {
        for head in heads.chunks_exact_mut(2 * cos.len()) {
            let (first, second) = head.split_at_mut(cos.len());
            for (((a, b), &c), &s) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
            }
        }
    }
}

multiversion! {
    /// `x += y`.
    pub fn add(x: &mut [f32], y: &[f32]) {
        x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
    }
}
