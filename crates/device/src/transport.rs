//! Transport: the way from a device to a middle.

mod answer;
mod contract;
mod error;
mod local;
mod opening;
mod probe;
mod remote;
mod status;

pub use answer::{Answer, Connected, Traffic};
pub use contract::{Transport, TransportWrapper};
pub use error::TransportError;
pub use local::LocalTransport;
pub use probe::CloudProbe;
pub use remote::{RemoteConfig, RemoteTransport};
pub use tricorn_core::driver::Backoff;
