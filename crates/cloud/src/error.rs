//! Errors that keep a cloud from serving.

use std::{io, net::SocketAddr};

use tricorn_core::SplitError;
use tricorn_wire::WireError;

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
    #[error("cannot start the cloud: {0}")]
    Start(#[source] io::Error),
    /// The layers given to this cloud are not a part of the middle.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// Layers of the middle are left to nobody.
    #[error(
        "layers {end}..{last} of the middle are left to nobody; name the cloud that holds them \
         with --next URL"
    )]
    NoNext {
        /// Where this cloud's layers end.
        end: usize,
        /// Where the middle ends.
        last: usize,
    },
    /// A next stage is named, and nothing is left for it to do.
    #[error(
        "the layers given end at {end}, where the middle ends; leave out --next, or give fewer \
         --layers"
    )]
    NothingLeft {
        /// Where both end.
        end: usize,
    },
    /// The next stage's address cannot be used.
    #[error(transparent)]
    Address(WireError),
    /// A cloud is its own next stage.
    #[error("--next {url} is this cloud itself; name the one that holds the layers from {end} on")]
    NextIsSelf {
        /// The address.
        url: String,
        /// The layer it must begin with.
        end: usize,
    },
    /// The next stage does not answer.
    #[error(
        "the next stage at {url} cannot be reached ({reason}); start it first, with `tricorn \
         cloud --layers {end}..B`"
    )]
    NextUnreachable {
        /// Its address.
        url: String,
        /// What happened.
        reason: String,
        /// The layer it must begin with.
        end: usize,
    },
    /// The next stage does not fit this one.
    #[error("the next stage at {url} does not fit: {reason}")]
    NextRefused {
        /// Its address.
        url: String,
        /// Why not, with the mend.
        reason: String,
    },
    /// The server failed.
    #[error("the gRPC server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The model panicked; every session was ended.
    #[error("the scheduler failed: {0}; this is a defect, please report it")]
    Scheduler(String),
}
