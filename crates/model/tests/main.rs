//! Tests of models from their files to their logits, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[cfg(feature = "candle")]
mod accelerator;
mod drafters;
mod export;
mod gguf;
mod gguf_bad_files;
mod hostile_headers;
mod loading;
mod packing;
mod support;
mod templates;
mod transformers;
mod uneven;
