//! Formats of a model's files: Hugging Face directories, GGUF files and bundles of `tricorn pack`.

pub mod bundle;
pub(crate) mod gguf;
pub mod hf;
pub(crate) mod names;
