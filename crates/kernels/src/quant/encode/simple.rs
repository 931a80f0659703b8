//! Formats of one scale a block, without a search.

use half::f16;

/// The value of the largest magnitude, the first of equal ones.
fn extreme(values: &[f32; 32]) -> f32 {
    values.iter().fold(0.0, |most: f32, &value| if value.abs() > most.abs() { value } else { most })
}

fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

pub(super) fn q8_0(values: &[f32; 32], out: &mut [u8; 34]) {
    let scale = extreme(values).abs() / 127.0;
    out[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    let inverse = inverse(scale);
    for (out, value) in out[2..].iter_mut().zip(values) {
        *out = (value * inverse).round() as i8 as u8;
    }
}

pub(super) fn q4_0(values: &[f32; 32], out: &mut [u8; 18]) {
    // The value of the largest magnitude gets the code 0, which stands for -8 scales; its opposite
    // has none.
    let scale = extreme(values) / -8.0;
    out[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    let inverse = inverse(scale);
    let code = |value: f32| ((value * inverse + 8.5) as u8).min(15);
    for (i, out) in out[2..].iter_mut().enumerate() {
        *out = code(values[i]) | code(values[i + 16]) << 4;
    }
}
