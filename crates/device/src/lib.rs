//! Device side of Tricorn: drafting, verifying, streaming and surviving a lost cloud.
//!
//! [`DeviceParts`] are the parts of a model that a device runs. A [`Conversation`] drives the
//! protocol core's [`DeviceSession`](tricorn_core::DeviceSession) with them over a [`Transport`]:
//! [`RemoteTransport`] to a cloud, or [`LocalTransport`] to the same middle in this process, which
//! is the reference for what any cloud must answer. An [`Engine`] holds several conversations and
//! shares them out to the requests of many clients.

#![forbid(unsafe_code)]

mod cancel;
pub mod constraint;
mod conversation;
pub mod engine;
mod error;
mod monitor;
mod parts;
mod processor;
mod prompt;
mod throttle;
pub mod transport;
mod turn;

pub use cancel::{Cancel, CancelReason};
pub use conversation::Conversation;
pub use engine::{Engine, EngineConfig};
pub use error::DeviceError;
pub use monitor::SharedMonitor;
pub use parts::{DeviceParts, Drafting};
pub use processor::Processor;
pub use prompt::{Chat, Prompter, Reply};
pub use throttle::DeviceThrottle;
pub use transport::{
    CloudProbe, LocalTransport, RemoteConfig, RemoteTransport, Transport, TransportError,
};
pub use turn::{
    Control, Direction, Event, Options, RoundTrace, TraceEvent, Turn, TurnReport, WireSample,
};
