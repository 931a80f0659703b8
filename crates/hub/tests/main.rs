//! Tests of pulls, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod server;

mod pull;
