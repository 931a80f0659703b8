//! Tricorn's middle: scheduler loop, sessions and gRPC server.
//!
//! [`Cloud`] is the server: [`Cloud::bind`], then [`Cloud::serve`]. It runs any [`MiddleModel`];
//! [`PooledMiddle`] is a real model's middle layers. Per stream, one task checks what the device
//! sends; one more, the scheduler, owns the model and every KV cache, batches what has arrived and
//! puts the answers into bounded outboxes, so that no device can hold up another. What its batches
//! took decides how far prompts are cut, and is told to devices; [`Pace`] emulates a slower server.

mod calibrate;
mod compute;
mod config;
mod connections;
mod downstream;
mod error;
mod load;
mod meter;
mod middle;
mod monitor;
mod outbox;
mod queue;
mod scheduler;
mod server;
mod service;
mod session;
mod stage;

pub use compute::Pace;
pub use config::CloudConfig;
pub use error::CloudError;
pub use middle::{BatchEntry, MiddleModel, PooledMiddle};
pub use monitor::Figures;
pub use server::{Cloud, Served};
