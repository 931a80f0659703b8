//! The number formats of cached keys and values.

use super::layout::{KV_BLOCK, KvLayout};
use std::{fmt, str::FromStr};

/// How a KV cache keeps its numbers. Whatever the format, attention computes in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KvFormat {
    /// IEEE 754 binary16, rounded to nearest even and saturating at 65504.
    #[default]
    F16,
    /// Signed 8 bit with one single-precision scale for a head's key at one position, and one for
    /// its value.
    Q8,
    /// IEEE 754 binary32: exact.
    F32,
}

/// The text names no format of KV caches.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a format of KV caches; use f16, q8 or f32")]
pub struct UnknownKvFormat(String);

impl KvFormat {
    /// Every format, the one to prefer first.
    pub const ALL: [Self; 3] = [Self::F16, Self::Q8, Self::F32];

    /// The format's name, as [`FromStr`] reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Q8 => "q8",
            Self::F32 => "f32",
        }
    }

    /// Bytes that one position takes in a cache over these layers; a cache holds whole blocks of 64
    /// positions.
    pub fn bytes_per_token(self, layers: impl IntoIterator<Item = KvLayout>) -> usize {
        let layer = |KvLayout { kv_heads, head_dim }| {
            let head = match self {
                Self::F16 => 2 * head_dim,
                Self::Q8 => head_dim + size_of::<f32>(),
                Self::F32 => 4 * head_dim,
            };
            2 * kv_heads * head
        };
        layers.into_iter().map(layer).sum()
    }

    /// Bytes that a cache of `positions` over these layers takes, which holds whole blocks.
    pub fn bytes(self, positions: usize, layers: impl IntoIterator<Item = KvLayout>) -> usize {
        positions.next_multiple_of(KV_BLOCK).saturating_mul(self.bytes_per_token(layers))
    }
}

impl fmt::Display for KvFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KvFormat {
    type Err = UnknownKvFormat;

    fn from_str(text: &str) -> Result<Self, UnknownKvFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| UnknownKvFormat(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for format in KvFormat::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!(
            "int4".parse::<KvFormat>().unwrap_err().to_string(),
            "`int4` is not a format of KV caches; use f16, q8 or f32"
        );
    }

    #[test]
    fn bytes_count_keys_values_and_scales() {
        let layers = [KvLayout { kv_heads: 4, head_dim: 64 }; 3];
        assert_eq!(
            KvFormat::ALL.map(|format| format.bytes_per_token(layers)),
            [3 * 4 * 256, 3 * 4 * 136, 3 * 4 * 512]
        );
        let uneven =
            [(4, 64), (0, 0), (1, 6)].map(|(kv_heads, head_dim)| KvLayout { kv_heads, head_dim });
        assert_eq!(
            KvFormat::ALL.map(|format| format.bytes_per_token(uneven)),
            [4 * 256 + 24, 4 * 136 + 20, 4 * 512 + 48]
        );
    }
}
