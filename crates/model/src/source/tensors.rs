//! Tensors that a source holds, whether as they were stored or packed.

use super::{ModelSource, linear::PACKED_HEAD};

/// A tensor's name and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSize<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape, outputs first.
    pub shape: Vec<usize>,
    /// Bytes in the files.
    pub bytes: usize,
    /// Its format's name.
    pub format: String,
}

impl ModelSource {
    /// The sizes of all tensors, those of packed matrices included. The packed head of a model
    /// whose head is its embedding is one more.
    pub fn tensors(&self) -> impl Iterator<Item = TensorSize<'_>> {
        let stored = self.weights().iter().map(|(name, info)| TensorSize {
            name,
            shape: info.shape.clone(),
            bytes: info.bytes(),
            format: info.stored.to_string(),
        });
        let packed = self.packed().map(|(name, matrix, bytes)| TensorSize {
            name,
            shape: vec![matrix.outputs, matrix.inputs],
            bytes,
            format: matrix.dtype.to_string(),
        });
        stored.chain(packed)
    }

    /// Numbers in all tensors, each counted once.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let copy = |tensor: &TensorSize<'_>| {
            self.is_packed() && self.config().tied && tensor.name == PACKED_HEAD
        };
        self.tensors()
            .filter(|tensor| !copy(tensor))
            .map(|tensor| tensor.shape.iter().product::<usize>())
            .sum()
    }
}
