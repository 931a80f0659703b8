//! Errors of an emulated link.

use crate::link::LinkConfigError;
use std::{io, net::SocketAddr};

/// What stops an emulated link, or keeps it from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] LinkConfigError),
    /// The port is taken.
    #[error("{0} is in use by another program; stop that program or listen on another port")]
    InUse(SocketAddr),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {listen}: {source}; choose an address of this machine and a port that \
         this user may open"
    )]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system refused a thread or a socket.
    #[error("cannot start the link: {0}")]
    Start(#[source] io::Error),
    /// A measurement through the link failed.
    #[error("the link could not be measured: {0}")]
    Check(#[source] io::Error),
}
