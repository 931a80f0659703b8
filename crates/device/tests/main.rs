//! Tests of the device over the demo model, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod choosing;
mod grammars;
