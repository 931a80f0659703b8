//! Root-mean-square normalisation.

use crate::simd::{isa::multiversion, math::sum_lanes};

multiversion! {
    /// `out = x / sqrt(mean(x^2) + eps) * weight`, a row at a time (Zhang and Sennrich 2019); rows
    /// are `weight.len()` wide.
    pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        let n = weight.len();
        for (x, out) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
            let scale = inverse_rms(x, eps);
            for ((out, &v), &w) in out.iter_mut().zip(x).zip(weight) {
                *out = v * scale * w;
            }
        }
    }
}

multiversion! {
    /// As [`rms_norm`], in place.
    pub fn rms_norm_in_place(x: &mut [f32], weight: &[f32], eps: f32) {
        for x in x.chunks_exact_mut(weight.len()) {
            let scale = inverse_rms(x, eps);
            for (v, &w) in x.iter_mut().zip(weight) {
                *v = *v * scale * w;
            }
        }
    }
}

/// `1 / sqrt(mean(x^2) + eps)`.
#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let chunks = x.chunks_exact(16);
    let tail = chunks.remainder();
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane = v.mul_add(v, *lane);
        }
    }
    for (lane, &v) in lanes.iter_mut().zip(tail) {
        *lane = v.mul_add(v, *lane);
    }
    1.0 / (sum_lanes(lanes) / x.len() as f32 + eps).sqrt()
}
