//! The arithmetic that everything else is built on.
//!
//! Every kernel here computes each output row by one fixed sequence of operations that depends on that row alone: not on how many rows
//! share the call, nor on threads, nor on the instruction set (fused multiply-add everywhere, reductions over sixteen fixed lanes).
//! So results are equal to the bit at every batch size and chunking, and also between machines.

mod attention;
mod isa;
mod math;
mod matmul;
mod norm;
mod softmax;

pub(crate) use attention::{KV_BLOCK, KvLayout, attend};
pub(crate) use math::swiglu;
pub(crate) use matmul::Linear;
pub(crate) use norm::rms_norm;
pub use softmax::softmax;
