//! Tricorn's ends: drafting, verifying, streaming and surviving a lost cloud.
//!
//! [`Ends`] are the parts of a model that a device runs. A [`Conversation`] drives the protocol core's
//! [`DeviceSession`](tricorn_core::DeviceSession) with them over a [`Link`]: [`RemoteLink`] to a cloud, or [`LocalLink`] to the same middle
//! in this process, which is the reference for what any cloud must answer.

mod chat;
mod conversation;
mod drafts;
mod ends;
pub mod engine;
mod error;
pub mod link;
mod pace;
mod prompt;
mod report;
mod rows;
mod shallow;
mod trace;
mod turn;

pub use chat::Chat;
pub use conversation::Conversation;
pub use ends::{Drafting, Ends};
pub use engine::{Engine, EngineConfig};
pub use error::DeviceError;
pub use link::{Link, LinkError, LocalLink, RemoteConfig, RemoteLink};
pub use pace::DevicePace;
pub use prompt::{Prompter, Reply};
pub use report::TurnReport;
pub use trace::TraceEvent;
pub use turn::{Event, Options, SharedMonitor, Turn};
