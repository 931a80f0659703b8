//! Codecs: the number formats in which hidden states cross the wire.

use std::{fmt, str::FromStr};

use half::{f16, slice::HalfFloatSliceExt};

/// How one hidden-state value is written on the wire, little endian.
///
/// Both ends round with it before they send, and so does a run without any cloud, so that the text
/// never depends on where the middle ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HiddenCodec {
    /// The values of [`F16`](Self::F16), their exponents in a prefix code: the same values in fewer
    /// bytes.
    #[default]
    F16z,
    /// IEEE 754 binary16.
    F16,
    /// IEEE 754 binary32: exact.
    F32,
}

/// The text names no codec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a hidden-state codec; use f16z, f16 or f32")]
pub struct UnknownCodec(String);

impl HiddenCodec {
    /// Every codec, the one to prefer first.
    pub const ALL: [Self; 3] = [Self::F16z, Self::F16, Self::F32];

    /// The codec's name, as [`FromStr`] reads it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F16z => "f16z",
            Self::F16 => "f16",
            Self::F32 => "f32",
        }
    }

    /// The codecs to offer a cloud by one who wants this one, in order of preference: those that
    /// round alike, down to the plain one.
    #[must_use]
    pub fn offers(self) -> &'static [Self] {
        match self {
            Self::F16z => &[Self::F16z, Self::F16],
            Self::F16 => &[Self::F16],
            Self::F32 => &[Self::F32],
        }
    }

    /// Bytes on the wire for one value; for F16z the most, but for a byte a message.
    #[must_use]
    pub fn bytes_per_value(self) -> usize {
        match self {
            Self::F16z | Self::F16 => 2,
            Self::F32 => 4,
        }
    }

    /// Replaces each value by the one that arrives when it is sent with this codec.
    ///
    /// F16 and F16z round to nearest, ties to even, and saturate: what is beyond the largest finite
    /// f16 (65504), infinities included, becomes that. NaN stays NaN.
    pub fn round(self, values: &mut [f32]) {
        if self != Self::F32 {
            let mut halves = [f16::ZERO; BLOCK];
            for block in values.chunks_mut(BLOCK) {
                let halves = &mut halves[..block.len()];
                to_f16(block, halves);
                halves.convert_to_f32_slice(block);
            }
        }
    }
}

/// Values converted at a time, through buffers that stay in the first-level cache.
const BLOCK: usize = 256;

/// Rounds as [`HiddenCodec::round`] does for F16. Both slices have the same length.
pub fn to_f16(values: &[f32], halves: &mut [f16]) {
    let mut saturated = [0.0_f32; BLOCK];
    for (values, halves) in values.chunks(BLOCK).zip(halves.chunks_mut(BLOCK)) {
        let saturated = &mut saturated[..values.len()];
        saturated.iter_mut().zip(values).for_each(|(to, from)| {
            *to = from.clamp(f16::MIN.to_f32_const(), f16::MAX.to_f32_const())
        });
        halves.convert_from_f32_slice(saturated);
    }
}

impl fmt::Display for HiddenCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HiddenCodec {
    type Err = UnknownCodec;

    fn from_str(text: &str) -> Result<Self, UnknownCodec> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.name() == text)
            .ok_or_else(|| UnknownCodec(text.to_owned()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rounded(value: f32) -> f32 {
        let mut values = [value];
        HiddenCodec::F16.round(&mut values);
        values[0]
    }

    #[test]
    fn f16_rounds_to_nearest_even() {
        let ulp = 2.0_f32.powi(-10);
        assert_eq!(rounded(1.0 + 0.5 * ulp), 1.0);
        assert_eq!(rounded(1.0 + 1.5 * ulp), 1.0 + 2.0 * ulp);
        assert_eq!(rounded(1.0 + 0.51 * ulp), 1.0 + ulp);
        assert_eq!(rounded(2.0_f32.powi(-25)), 0.0);
        assert_eq!(rounded(1.5 * 2.0_f32.powi(-24)), 2.0_f32.powi(-23));
        assert_eq!(rounded(-0.0).to_bits(), (-0.0_f32).to_bits());
    }

    #[test]
    fn f16_saturates_and_keeps_nan() {
        for (value, expected) in
            [(65504.0, 65504.0), (65520.0, 65504.0), (-1e30, -65504.0), (f32::INFINITY, 65504.0)]
        {
            assert_eq!(rounded(value), expected);
        }
        assert!(rounded(f32::NAN).is_nan());
    }

    #[test]
    fn every_f16_is_kept() {
        for bits in 0..=u16::MAX {
            let value = f16::from_bits(bits);
            if value.is_finite() {
                assert_eq!(rounded(value.to_f32()).to_bits(), value.to_f32().to_bits());
            }
        }
    }

    #[test]
    fn f32_is_exact() {
        let mut values = [1e-40, 1e30, f32::INFINITY];
        HiddenCodec::F32.round(&mut values);
        assert_eq!(values, [1e-40, 1e30, f32::INFINITY]);
    }

    #[test]
    fn offers_round_alike() {
        let rounded = |codec: HiddenCodec| {
            let mut values = [0.1, 1e-9, 7e4];
            codec.round(&mut values);
            values
        };
        for codec in HiddenCodec::ALL {
            assert_eq!(codec.offers().first(), Some(&codec));
            assert!(codec.offers().iter().all(|&offer| rounded(offer) == rounded(codec)));
        }
    }

    #[test]
    fn names_round_trip() {
        for codec in HiddenCodec::ALL {
            assert_eq!(codec.to_string().parse(), Ok(codec));
        }
        assert!(
            "int8".parse::<HiddenCodec>().unwrap_err().to_string().contains("f16z, f16 or f32")
        );
    }
}
