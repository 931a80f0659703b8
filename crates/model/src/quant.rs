//! Quantisation at load: the format of each of a model's matrices.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use tricorn_kernels::Dtype;

/// How a model's matrices are held. Norms, biases, embedding rows and drafters are never quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quant {
    /// In single precision, exactly.
    F32,
    /// In 16 bits: single precision rounded to half, formats of 16 bits as they are.
    F16,
    /// Q8_0.
    Q8,
    /// Q4_K, the head Q6_K; rows that are not whole blocks of 256 numbers Q8_0.
    Q4K,
}

/// What a matrix is for, as far as formats depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Of a decoder layer.
    Layer,
    /// The language-model head, whose errors go straight into the logits.
    Head,
}

/// The name of no way to quantise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no format of weights; use q4k, q8, f16 or f32")]
pub struct UnknownQuant(String);

impl Quant {
    /// All, the smallest last.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Q8, Self::Q4K];

    /// The name in flags and manifests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8 => "q8",
            Self::Q4K => "q4k",
        }
    }

    /// The format for a matrix with rows of `inputs` numbers that is stored unquantised as
    /// `stored`. Rows that are not whole blocks of a quantised format get the next larger one,
    /// those of no whole number of 32 numbers stay as they are.
    pub(crate) fn dtype(self, role: Role, stored: Dtype, inputs: usize) -> Dtype {
        let wanted: &[Dtype] = match (self, role) {
            (Self::F32, _) => &[Dtype::F32],
            (Self::F16, _) if stored == Dtype::F32 => &[Dtype::F16],
            (Self::F16, _) => &[],
            (Self::Q8, _) => &[Dtype::Q8_0],
            (Self::Q4K, Role::Layer) => &[Dtype::Q4K, Dtype::Q8_0],
            (Self::Q4K, Role::Head) => &[Dtype::Q6K, Dtype::Q8_0],
        };
        wanted
            .iter()
            .copied()
            .find(|dtype| inputs.is_multiple_of(dtype.block_len()))
            .unwrap_or(stored)
    }
}

impl fmt::Display for Quant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Quant {
    type Err = UnknownQuant;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|quant| quant.name() == name)
            .ok_or_else(|| UnknownQuant(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_format_of_whole_blocks() {
        for quant in Quant::ALL {
            assert_eq!(quant.name().parse(), Ok(quant));
            for stored in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
                for inputs in [1, 48, 64, 704, 2048] {
                    for role in [Role::Layer, Role::Head] {
                        assert!(quant.dtype(role, stored, inputs).bytes(inputs).is_some());
                    }
                }
            }
        }
        assert!("q5".parse::<Quant>().is_err());
    }

    #[test]
    fn odd_rows_get_larger_formats() {
        let of = |quant: Quant, role, inputs| quant.dtype(role, Dtype::Bf16, inputs);
        assert_eq!(
            [256, 704, 48].map(|inputs| of(Quant::Q4K, Role::Layer, inputs)),
            [Dtype::Q4K, Dtype::Q8_0, Dtype::Bf16]
        );
        assert_eq!(
            [256, 704, 48].map(|inputs| of(Quant::Q4K, Role::Head, inputs)),
            [Dtype::Q6K, Dtype::Q8_0, Dtype::Bf16]
        );
        assert_eq!(of(Quant::F16, Role::Layer, 256), Dtype::Bf16);
        assert_eq!(Quant::F16.dtype(Role::Head, Dtype::F32, 256), Dtype::F16);
        assert_eq!(of(Quant::F32, Role::Layer, 48), Dtype::F32);
    }
}
