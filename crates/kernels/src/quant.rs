//! Number formats of stored weights, and what their bytes mean.
//!
//! Quantised formats are ggml's (`ggml-common.h`, `ggml-quants.c`): runs of [`Dtype::block_len`]
//! numbers of one row share scales.

mod decode;
mod encode;

mod tensor;

pub use decode::decode;
pub(crate) use decode::k_scale;
pub use encode::{OutOfRange, encode};
pub use tensor::RawTensor;

use serde::{Deserialize, Serialize};

/// A number format of stored weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Dtype {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single.
    #[serde(rename = "BF16")]
    Bf16,
    /// 4 bits and one scale for 32 numbers.
    Q4_0,
    /// 8 bits and one scale for 32 numbers.
    Q8_0,
    /// 4 bits; a scale and a minimum, 6 bits each, for 32 numbers; two scales for 256.
    #[serde(rename = "Q4_K")]
    Q4K,
    /// 5 bits, otherwise as [`Dtype::Q4K`].
    #[serde(rename = "Q5_K")]
    Q5K,
    /// 6 bits; a scale of 8 bits for 16 numbers; one scale for 256.
    #[serde(rename = "Q6_K")]
    Q6K,
}

impl Dtype {
    /// All formats.
    pub const ALL: [Self; 8] =
        [Self::F32, Self::F16, Self::Bf16, Self::Q4_0, Self::Q8_0, Self::Q4K, Self::Q5K, Self::Q6K];

    /// Whether numbers share scales in blocks.
    #[must_use]
    pub const fn is_quantised(self) -> bool {
        self.block_len() > 1
    }

    /// Numbers in one block; a row is a whole number of blocks.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes of one block.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 18,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bytes of `count` numbers, a whole number of blocks; `None` where that is not a whole number
    /// or overflows.
    #[must_use]
    pub const fn bytes(self, count: usize) -> Option<usize> {
        if count.is_multiple_of(self.block_len()) {
            (count / self.block_len()).checked_mul(self.block_bytes())
        } else {
            None
        }
    }

    /// The name that ggml and its users know.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
