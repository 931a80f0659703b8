//! Tricorn's models: weights, tokenizer, decoder layer ranges, KV cache, drafters and CPU kernels.
//!
//! Start at [`ModelSource`], which opens a model's files, and the three parts that are loaded from
//! it: [`InputPart`], [`MiddlePart`] and [`OutputPart`]. All arithmetic is row-independent: a row's
//! result is the same to the bit whatever shares the call with it.

pub mod accelerator;
mod backend;
pub mod config;
pub mod drafter;
pub mod error;
mod gguf;
pub mod inspect;
pub mod kv;
mod layer;
pub mod pack;
pub mod parts;
pub mod quant;
mod rope;
pub mod source;
pub mod weights;

pub use accelerator::ComputeDevice;
pub use config::ModelConfig;
pub use drafter::{Drafter, DrafterInfo, DrafterKind};
pub use error::ModelError;
pub use kv::{KvCache, KvError, KvPool};
pub use layer::SeqRows;
pub use parts::{InputPart, MiddlePart, OutputPart};
pub use source::ModelSource;
