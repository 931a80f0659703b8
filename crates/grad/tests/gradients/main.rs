//! Gradients against finite differences and PyTorch, and what is trained by them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod lora;
mod models;
mod operations;
mod pytorch;
mod quantised;
mod support;
mod training;
mod uneven;
