//! Scratch memory of a call, and the row operations on it.

use tricorn_kernels::rows::{add, rms_norm, spread_rows};

/// Memory that the layers of one call use one after the other; nothing in it is kept from one to
/// the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// `rows x hidden`.
    pub(super) normed: Vec<f32>,
    /// What is projected from that: queries, keys and values, or gate and up.
    pub(super) wide: Vec<f32>,
    /// What is projected back: what attention gives, or SwiGLU.
    pub(super) inner: Vec<f32>,
}

/// The first `len` numbers of some scratch, whatever they are.
pub(super) fn sized(scratch: &mut Vec<f32>, len: usize) -> &mut [f32] {
    scratch.resize(len, 0.0);
    scratch
}

pub(super) fn norm_rows(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let width = weight.len();
    spread_rows(out, width, |first, out| rms_norm(&x[first * width..], weight, eps, out));
}

pub(super) fn add_rows(x: &mut [f32], y: &[f32], width: usize) {
    spread_rows(x, width, |first, x| add(x, &y[first * width..]));
}
