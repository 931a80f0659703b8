//! The arithmetic that everything else is built on.
//!
//! Every kernel here computes each output row by one fixed sequence of operations that depends on
//! that row alone: not on how many rows share the call, nor on threads, nor on the instruction set
//! (fused multiply-add everywhere, reductions over sixteen fixed lanes). So results are equal to
//! the bit at every batch size and chunking, and also between machines.

mod activations;
mod attention;
mod disjoint;
mod elementwise;
mod float;
mod half;
mod isa;
mod lanes;
mod linear;
mod math;
mod norm;
mod panels;
mod quantised;
mod rows;
mod softmax;

#[cfg(test)]
pub(crate) use attention::KvHead;
pub(crate) use attention::{KV_BLOCK, KvData, KvLayout, Queries, Sequence, View, attend};
pub(crate) use elementwise::{add, rotate, swiglu};
pub(crate) use linear::Linear;
pub(crate) use norm::{rms_norm, rms_norm_in_place};
pub(crate) use panels::{PackedPart, PanelBytes, packed_bytes};
pub(crate) use rows::spread_rows;
pub use softmax::softmax;
