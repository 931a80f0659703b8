//! Tests of the endpoint over real sockets, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

mod chat;
mod completions;
mod errors;
mod hostile;
mod page_sources;
mod preparing;
mod service;
mod stopping;
mod tools;
