//! Stored tensors, borrowed.

use super::{Dtype, decode};

/// A tensor as it is stored: little-endian, row-major, rows of whole blocks, at any alignment.
#[derive(Clone, Copy, Debug)]
pub struct RawTensor<'a> {
    /// Format of the numbers.
    pub dtype: Dtype,
    /// All the numbers.
    pub bytes: &'a [u8],
}

impl<'a> RawTensor<'a> {
    /// How many numbers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.block_bytes() * self.dtype.block_len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// `count` numbers from number `from` on, both whole numbers of blocks; fewer where the tensor
    /// ends.
    #[must_use]
    pub fn slice(&self, from: usize, count: usize) -> RawTensor<'a> {
        let bytes = |numbers: usize| {
            (numbers / self.dtype.block_len())
                .saturating_mul(self.dtype.block_bytes())
                .min(self.bytes.len())
        };
        let end = bytes(from.saturating_add(count));
        RawTensor { dtype: self.dtype, bytes: &self.bytes[bytes(from).min(end)..end] }
    }

    /// The numbers as `f32`; exact for every format that is not quantised.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        let mut numbers = Vec::new();
        decode(self.dtype, self.bytes, &mut numbers);
        numbers
    }
}
