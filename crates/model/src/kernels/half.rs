//! Half precision to single precision, written so that it vectorises.

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
