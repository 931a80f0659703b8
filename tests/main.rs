//! End-to-end tests by behaviour, over the real binary and real sockets, in one binary. A name such
//! as `failover::` picks one module: `cargo test -p tricorn-cli --test end-to-end failover::`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

mod bad_input;
mod bench;
mod chunking;
mod commands;
mod configuration;
mod device;
mod drafting;
mod engine;
mod failover;
mod generation;
mod link;
mod logging;
mod pipeline;
mod quantised;
mod sampling;
mod uneven;
