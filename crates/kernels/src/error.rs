//! Errors of packed weights.

use crate::Dtype;

/// Reason why packed weights cannot be used. Each message is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A part has another number of bytes than its format and outputs call for.
    #[error("{outputs} packed rows of {inputs} numbers in {dtype} do not take {found} bytes")]
    PackedSize {
        /// The part's format.
        dtype: Dtype,
        /// Numbers in a row.
        inputs: usize,
        /// Rows of the part.
        outputs: usize,
        /// Bytes of the part.
        found: usize,
    },
    /// A part is not aligned to a cache line.
    #[error("packed weights in {dtype} do not begin at a multiple of 64 bytes")]
    Alignment {
        /// The part's format.
        dtype: Dtype,
    },
    /// A bias has another length than the layer has outputs.
    #[error("{bias} values of a bias for {outputs} outputs")]
    BiasLength {
        /// Values of the bias.
        bias: usize,
        /// Outputs of the layer.
        outputs: usize,
    },
}
