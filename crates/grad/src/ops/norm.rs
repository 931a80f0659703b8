//! RMSNorm (Zhang and Sennrich 2019, arXiv 1910.07467): `y = x / sqrt(mean(x^2) + eps) * weight`,
//! a row at a time. Rows are as wide as the weight, so that a head's queries are normed by giving
//! the heads of all rows one after the other.

/// The unit rows `x / rms(x)`, which the weight's gradient needs, and those times `weight`.
#[must_use]
pub fn forward(x: &[f32], weight: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let mut unit = x.to_vec();
    for row in unit.chunks_exact_mut(width) {
        let scale = inverse_rms(row, eps);
        row.iter_mut().for_each(|v| *v *= scale);
    }
    let mut normed = unit.clone();
    for row in normed.chunks_exact_mut(width) {
        row.iter_mut().zip(weight).for_each(|(u, w)| *u *= w);
    }
    (unit, normed)
}

/// The gradient of the weight (`width` numbers), given that of the output and the unit rows.
#[must_use]
pub fn weight_gradient(gradient: &[f32], unit: &[f32], width: usize) -> Vec<f32> {
    let mut norm = vec![0.0; width];
    for (gradient, unit) in gradient.chunks_exact(width).zip(unit.chunks_exact(width)) {
        norm.iter_mut().zip(gradient).zip(unit).for_each(|((norm, d), u)| *norm += d * u);
    }
    norm
}

/// The gradient of the rows `x`, given that of the output.
#[must_use]
pub fn input_gradient(x: &[f32], weight: &[f32], eps: f32, gradient: &[f32]) -> Vec<f32> {
    let width = weight.len();
    let mut result = Vec::with_capacity(x.len());
    for (x, gradient) in x.chunks_exact(width).zip(gradient.chunks_exact(width)) {
        let scale = inverse_rms(x, eps);
        let dot: f32 = x.iter().zip(gradient).zip(weight).map(|((x, g), w)| x * g * w).sum();
        let pull = scale * scale * dot / width as f32;
        result.extend(
            x.iter().zip(gradient).zip(weight).map(|((x, g), w)| scale * (g * w - x * pull)),
        );
    }
    result
}

fn inverse_rms(row: &[f32], eps: f32) -> f32 {
    let mean = row.iter().map(|v| v * v).sum::<f32>() / row.len() as f32;
    (mean + eps).sqrt().recip()
}
