//! Cloud side of Tricorn: the gRPC server, its sessions, and the driver of the core's scheduler.
//!
//! [`Cloud`] is the server: [`Cloud::bind`], then [`Cloud::serve`]. It runs any [`MiddleModel`];
//! [`PooledMiddle`] is a real model's middle layers. Each stream has a task that checks what its
//! device sends. One task, the driver, owns the model and every KV cache. It runs the batches that
//! [`tricorn_core::Scheduler`] forms of what has arrived, and puts the answers into bounded
//! outboxes, so that no device can hold up another. [`Throttle`] emulates a slower server.

#![forbid(unsafe_code)]

mod calibrate;
mod clock;
mod command;
mod compute;
mod config;
mod connections;
mod downstream;
mod driver;
mod error;
mod executor;
mod failures;
mod load;
mod meter;
mod middle;
mod outbox;
mod queue;
mod served;
mod server;
mod service;
mod serving;
mod session;
mod stage;
mod throttle;

pub use config::CloudConfig;
pub use error::CloudError;
pub use middle::{BatchEntry, MiddleModel, PooledMiddle};
pub use served::Served;
pub use server::Cloud;
pub use throttle::Throttle;
pub use tricorn_core::Figures;
