//! Tricorn's models: configuration, weights, decoder layer ranges, KV caches and drafters.
//!
//! Start at [`ModelSource`], which opens a model's files, and the three parts that are loaded from
//! it: [`InputPart`], [`MiddlePart`] and [`OutputPart`]. On the processor all arithmetic is
//! row-independent: a row's result is the same to the bit whatever shares the call with it.
//!
//! Only `formats/bundle/panels.rs` has unsafe code: it maps a file.
#![deny(unsafe_code)]

mod accelerator;
mod bundle_part;
mod compute_device;
pub mod config;
pub mod drafter;
mod drafter_kind;
pub mod error;
pub mod export;
pub mod formats;
pub mod inspect;
pub mod kv;
mod layers;
pub mod pack;
pub mod parts;
pub mod quant;
pub mod source;
mod split;
pub mod weights;

pub use bundle_part::BundlePart;
pub use compute_device::{ComputeDevice, UnknownDevice};
pub use config::{LayerShape, ModelConfig};
pub use drafter::{Drafter, DrafterInfo};
pub use drafter_kind::{DrafterKind, UnknownDrafterKind};
pub use error::ModelError;
pub use kv::{KvCache, KvError, KvPool};
pub use layers::{Activation, LayerObserver, SeqRows};
pub use parts::{DecoderLayers, InputPart, MiddlePart, OutputPart};
pub use source::ModelSource;
pub use split::default_split;
