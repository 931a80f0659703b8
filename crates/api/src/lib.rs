//! The device's OpenAI-compatible HTTP endpoint: any client changes one URL, and its texts stay on the device.
//!
//! [`serve`] answers on a listener with an [`Engine`](tricorn_device::Engine). Requests are checked and turned into prompts here
//! (`chat`), what the engine reports becomes JSON or a stream of events, and every failure is an [`ApiError`] in the form that OpenAI's
//! clients know.

mod chat;
mod error;
mod routes;

pub use error::ApiError;
pub use routes::{Service, serve};
