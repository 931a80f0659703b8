//! Tricorn's ends: drafting, verifying, streaming and surviving a lost cloud.
//!
//! [`Ends`] are the parts of a model that a device runs. A [`Conversation`] drives the protocol core's
//! [`DeviceSession`](tricorn_core::DeviceSession) with them over a [`Link`]: [`RemoteLink`] to a cloud, or [`LocalLink`] to the same middle
//! in this process, which is the reference for what any cloud must answer.

mod chat;
mod conversation;
mod ends;
mod error;
pub mod link;
mod prompt;
mod report;
mod shallow;

pub use chat::Chat;
pub use conversation::{Conversation, Event, Turn};
pub use ends::{Drafting, Ends};
pub use error::DeviceError;
pub use link::{Link, LinkError, LocalLink, RemoteConfig, RemoteLink};
pub use prompt::{Prompter, Reply};
pub use report::TurnReport;
