//! Tricorn's ends: drafting, verifying, streaming and surviving a lost cloud.
//!
//! [`Ends`] are the parts of a model that a device runs. A [`Conversation`] drives the protocol
//! core's [`DeviceSession`](tricorn_core::DeviceSession) with them over a [`Link`]: [`RemoteLink`]
//! to a cloud, or [`LocalLink`] to the same middle in this process, which is the reference for what
//! any cloud must answer. An [`Engine`] holds several conversations and shares them out to the
//! requests of many clients.

mod cancel;
mod chat;
pub mod constraint;
mod control;
mod conversation;
mod drafts;
mod ends;
pub mod engine;
mod error;
pub mod link;
mod offline;
mod pace;
mod processor;
mod prompt;
mod report;
mod rows;
mod shallow;
mod trace;
mod turn;

pub use cancel::{Cancel, CancelReason};
pub use chat::Chat;
pub use control::Control;
pub use conversation::Conversation;
pub use ends::{Drafting, Ends};
pub use engine::{Engine, EngineConfig};
pub use error::DeviceError;
pub use link::{CloudProbe, Link, LinkError, LocalLink, RemoteConfig, RemoteLink};
pub use pace::DevicePace;
pub use processor::SharedProcessor;
pub use prompt::{Prompter, Reply};
pub use report::TurnReport;
pub use trace::{Direction, RoundTrace, TraceEvent, WireSample};
pub use turn::{Event, Options, SharedMonitor, Turn};
