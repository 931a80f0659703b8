//! Tests of the core through its public face, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod dependencies;
mod fleet;
mod options;
mod sampling;
mod sessions;
