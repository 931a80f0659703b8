//! Tricorn's arithmetic on the processor, and nothing else: no files, no models, no protocol.
//!
//! - [`Linear`] is a dense layer, its weights packed in one of the number formats of [`Dtype`];
//!   [`linear::transposed`] has the products that gradients need.
//! - [`attend`] is attention over blocks of a KV cache ([`KvData`]).
//! - [`rows`] are operations on the rows of a matrix: norms, activations, softmax.
//! - [`threads`] spreads one operation over the processor's cores.
//! - [`limits`] measures what the machine can do at most, to compare kernels with.
//!
//! Every kernel computes an output row by one fixed sequence of operations that depends on that row
//! alone. It does not depend on the number of rows in the call, on threads, or on the instruction
//! set: multiply-adds are fused everywhere, and reductions run over sixteen fixed lanes. So results
//! are equal to the bit at every batch size and chunking, and between machines.

pub mod attention;
mod error;
pub mod limits;
pub mod linear;
pub mod quant;
pub mod rows;
mod simd;
pub mod threads;

pub use attention::{
    BlockLayout, KV_BLOCK, KvData, KvFormat, KvHead, KvLayout, KvShare, Queries, Sequence,
    UnknownKvFormat, View, attend,
};
pub use error::KernelError;
pub use linear::{Linear, PackedPart, PanelBytes, packed_bytes};
pub use quant::{Dtype, OutOfRange, RawTensor};
