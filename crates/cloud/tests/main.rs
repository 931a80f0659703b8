//! Clouds on real sockets, as devices and other clouds see them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod connections;
mod hostile;
mod kv_memory;
mod later_stages;
mod scheduling;
mod sessions;
mod stages;
