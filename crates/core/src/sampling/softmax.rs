//! Softmax: the greatest logit and its probability.

/// The index of the greatest logit; the lowest of several, 0 when there is none but NaN.
#[must_use]
pub fn argmax(logits: &[f32]) -> u32 {
    let max = greatest(logits);
    // Where all are NaN or negative infinity, the first that is no NaN.
    let best = logits.iter().position(|&logit| logit == max);
    best.and_then(|token| u32::try_from(token).ok()).unwrap_or(0)
}

/// The greatest value but NaN; negative infinity when there is none. In lanes, so that it
/// vectorises.
pub(super) fn greatest(logits: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = logits.as_chunks::<16>();
    let padded: [f32; 16] =
        std::array::from_fn(|lane| rest.get(lane).copied().unwrap_or(f32::NEG_INFINITY));
    for chunk in chunks.iter().chain([&padded]) {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane = if logit > *lane { logit } else { *lane };
        }
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// The probability of the likeliest token under `softmax(logits)`, at temperature 1 whatever the
/// sampling is; NaN counts as impossible, and no logits give 0.
#[must_use]
pub fn confidence(logits: &[f32]) -> f32 {
    let max = greatest(logits);
    if max == f32::INFINITY {
        let ties = logits.iter().filter(|&&logit| logit == max).count();
        return 1.0 / ties as f32;
    }
    if max == f32::NEG_INFINITY {
        return 0.0;
    }
    let mut lanes = [0.0_f32; 16];
    let (chunks, rest) = logits.as_chunks::<16>();
    let padded: [f32; 16] =
        std::array::from_fn(|lane| rest.get(lane).copied().unwrap_or(f32::NEG_INFINITY));
    for chunk in chunks.iter().chain([&padded]) {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane += exp_nonpositive(logit - max);
        }
    }
    lanes.iter().sum::<f32>().recip()
}

/// `e^x` for `x <= 0` to seven digits, 0 below -87 and for NaN: `2^n 2^f` with the Taylor
/// polynomial of `2^f`, `|f| <= 1/2`. Unlike the standard one it vectorises, and it runs over the
/// whole vocabulary for every draft.
pub(super) fn exp_nonpositive(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: the sum's low bits are the rounded integer
    let reachable = if x > -87.0 { x } else { -87.0 };
    let t = reachable * std::f32::consts::LOG2_E;
    let shifted = t + ROUND;
    let f = (t - (shifted - ROUND)) * std::f32::consts::LN_2;
    let p = 1.0
        + f * (1.0
            + f * (0.5
                + f * (1.0 / 6.0 + f * (1.0 / 24.0 + f * (1.0 / 120.0 + f * (1.0 / 720.0))))));
    let scale =
        f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    if x > -87.0 { p * scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::{super::noise::mix, *};

    #[test]
    fn confidence_is_the_greatest_probability() {
        assert!((confidence(&[0.0, 3.0_f32.ln()]) - 0.75).abs() < 1e-6);
        assert!((confidence(&[1000.0, 1000.0, f32::NAN]) - 0.5).abs() < 1e-6);
        assert_eq!(confidence(&[0.0, f32::INFINITY]), 1.0);
        assert_eq!(confidence(&[]), 0.0);
        assert_eq!(confidence(&[f32::NAN]), 0.0);
        assert!((confidence(&[f32::NAN, -3.0, f32::NEG_INFINITY]) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn confidence_agrees_with_the_standard_exponential() {
        let logits: Vec<f32> =
            (0..4099).map(|i| (mix(i) >> 40) as f32 / 2.0_f32.powi(19) - 16.0).collect();
        let max = logits.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum();
        assert!((f64::from(confidence(&logits)) * sum - 1.0).abs() < 1e-5);
        for i in 0..8700 {
            let x = i as f32 / -100.0;
            assert!((f64::from(exp_nonpositive(x)) / f64::from(x).exp() - 1.0).abs() < 1e-5, "{x}");
        }
    }
}
