//! Why a cloud cannot serve.

use std::{io, net::SocketAddr};

/// What ends a cloud. A device's mistakes never do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloudError {
    /// A setting makes no sense.
    #[error("{field} is {value}; use at least {least}")]
    Config {
        /// The setting.
        field: &'static str,
        /// What it is.
        value: usize,
        /// The least that works.
        least: usize,
    },
    /// The port is taken.
    #[error("{0} is in use by another program; stop that program or listen on another port")]
    InUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}: {source}; choose an address of this machine and a port that this user may open")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system refused a thread or a socket.
    #[error("cannot start the cloud: {0}")]
    Start(#[source] io::Error),
    /// The server failed.
    #[error("the gRPC server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The model panicked; every session was ended.
    #[error("the scheduler failed: {0}; this is a defect, please report it")]
    Scheduler(String),
}
