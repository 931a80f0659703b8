//! Instruction sets, and vector operations that give the same bits on each.

pub(crate) mod half;
pub(crate) mod isa;
pub(crate) mod lanes;
pub(crate) mod math;
