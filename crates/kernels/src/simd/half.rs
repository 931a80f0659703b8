//! Half precision: to single precision in a form that vectorises, and back with saturation.

use half::{f16, slice::HalfFloatSliceExt};

/// Values converted at a time, through a buffer that stays in the first-level cache.
const BLOCK: usize = 256;

/// Rounds to nearest, ties to even. Values beyond the largest finite f16 (65504), infinities
/// included, become that; NaN stays NaN. Both slices have the same length.
pub(crate) fn to_f16(values: &[f32], halves: &mut [f16]) {
    let mut saturated = [0.0_f32; BLOCK];
    for (values, halves) in values.chunks(BLOCK).zip(halves.chunks_mut(BLOCK)) {
        let saturated = &mut saturated[..values.len()];
        saturated.iter_mut().zip(values).for_each(|(to, from)| {
            *to = from.clamp(f16::MIN.to_f32_const(), f16::MAX.to_f32_const())
        });
        halves.convert_from_f32_slice(saturated);
    }
}

/// The value of an f16, exactly.
#[inline(always)]
pub(crate) fn f16_to_f32(bits: u16) -> f32 {
    // The exponent's bias differs by 112; multiplying by 2^112 also makes subnormal halves right.
    const REBIAS: f32 = f32::from_bits((112 + 127) << 23);
    let bits = u32::from(bits);
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * REBIAS;
    let infinite_or_nan = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(magnitude.to_bits() | infinite_or_nan | (bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::f16_to_f32;

    #[test]
    fn every_half_has_its_value() {
        for bits in 0..=u16::MAX {
            let want = half::f16::from_bits(bits).to_f32();
            let found = f16_to_f32(bits);
            assert!(
                found.to_bits() == want.to_bits() || found.is_nan() && want.is_nan(),
                "{bits:#06x}: {found} instead of {want}"
            );
        }
    }
}
