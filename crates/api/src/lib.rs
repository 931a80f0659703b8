//! The device's OpenAI-compatible HTTP endpoint: any client changes one URL, and its texts stay on
//! the device.
//!
//! [`serve`] answers on a listener with a [`Service`]: an [`Engine`](tricorn_device::Engine) and
//! what is said about it. The way of a request:
//!
//! - `server` takes connections and holds each to its deadlines and bounds; `guard` turns away web
//!   pages of other sites, and `access` counts requests and logs them;
//! - `request` reads a body field by field, strictly: what is unknown or unsupported is refused by
//!   name, as OpenAI's API does;
//! - `preparing` gives what takes long to compute - reading, rendering, tokenising - a thread that
//!   carries no connections;
//! - `choices` submits what is asked for to the engine, once for every choice, and joins what comes
//!   back;
//! - `answer` writes the objects that clients read, and `endpoints` sends them whole or as
//!   server-sent events.
//!
//! `page` serves a chat page that shows what leaves the device.
//!
//! Every failure is an [`ApiError`] in the form that OpenAI's clients know. The clock, random ids
//! and random seeds are here, not below.

#![forbid(unsafe_code)]

mod access;
mod answer;
mod choices;
mod clock;
mod config;
mod endpoints;
mod error;
mod fit;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
mod identity;
mod metrics;
mod openapi;
mod page;
mod preparing;
mod request;
mod router;
mod server;
mod service;
#[cfg(any(test, feature = "fuzzing"))]
mod testing;

pub use config::{CloudBehind, Limits, ServiceConfig};
pub use error::ApiError;
pub use server::serve;
pub use service::Service;
