//! Endpoints: one handler a path.

pub(crate) mod chat;
pub(crate) mod completions;
mod events;
mod generate;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod models;

#[cfg(feature = "fuzzing")]
pub(crate) use {chat::ChatEndpoint, completions::CompletionEndpoint, generate::Generates};
