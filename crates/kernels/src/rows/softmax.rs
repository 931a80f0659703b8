//! Softmax over a row of logits.

use crate::simd::{
    isa::multiversion,
    math::{exp, sum_lanes},
};

/// Replaces a row of finite logits by its softmax and returns the logarithm of the normaliser,
/// `ln(sum(e^logit))`; an empty row gives `-inf`.
pub fn softmax(row: &mut [f32]) -> f32 {
    let mut normaliser = f32::NEG_INFINITY;
    in_place(row, &mut normaliser);
    normaliser
}

multiversion! {
    fn in_place(row: &mut [f32], normaliser: &mut f32) {
        let max = row.iter().fold(f32::NEG_INFINITY, |max, &v| if v > max { v } else { max });
        let mut lanes = [0.0_f32; 16];
        let (chunks, tail) = row.as_chunks_mut::<16>();
        for chunk in chunks {
            for (lane, v) in lanes.iter_mut().zip(chunk) {
                *v = exp(*v - max);
                *lane += *v;
            }
        }
        for (lane, v) in lanes.iter_mut().zip(tail) {
            *v = exp(*v - max);
            *lane += *v;
        }
        let sum = sum_lanes(lanes);
        let scale = 1.0 / sum;
        row.iter_mut().for_each(|v| *v *= scale);
        *normaliser = max + sum.ln();
    }
}

#[cfg(test)]
mod tests {
    use super::softmax;

    #[test]
    fn sums_to_one_and_returns_the_normaliser() {
        let logits: Vec<f32> = (0..37).map(|i| (i * 7 % 11) as f32 - 40.0).collect();
        let mut row = logits.clone();
        let normaliser = softmax(&mut row);
        let expected = logits.iter().map(|&v| f64::from(v).exp()).sum::<f64>().ln();
        assert!((f64::from(normaliser) - expected).abs() < 1e-5);
        for (p, logit) in row.iter().zip(&logits) {
            assert!((f64::from(*p) - (f64::from(*logit) - expected).exp()).abs() < 1e-6);
        }
    }
}
