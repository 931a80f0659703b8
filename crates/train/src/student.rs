//! Student: the drafter under training, its passes, its loss and its files.

pub(crate) mod export;
pub(crate) mod loss;
pub(crate) mod optimizer;
pub(crate) mod pass;
pub(crate) mod tensors;
