//! Errors of a transport.

use std::time::Duration;
use tricorn_model::ModelError;
use tricorn_wire::{Failure, WireError};

/// A transport that fails.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The session is gone; a new one may be opened.
    #[error("the session with the cloud was lost ({0}); try again")]
    Lost(String),
    /// The cloud ended the session for want of room; there may be some when a new one is opened.
    #[error("the cloud had no room for more of the session ({0}); try again")]
    Evicted(String),
    /// The cloud answers, and has no room.
    #[error(
        "the cloud has no room ({0}); try again later or with a shorter text, or give the cloud \
         more sessions or memory"
    )]
    NoRoom(String),
    /// No cloud answers.
    #[error(
        "no cloud answers at {url} ({reason}; tried {attempts} times in {waited:.1?}); start one \
         with `tricorn cloud` or mend --cloud"
    )]
    Unreachable {
        /// Its address.
        url: String,
        /// Connections tried.
        attempts: usize,
        /// Time spent.
        waited: Duration,
        /// The end of the last try.
        reason: String,
    },
    /// The cloud refuses this device or found fault with what it sent.
    #[error("the cloud refuses: {0}")]
    Refused(#[from] Failure),
    /// The session is lost again and again without progress.
    #[error(
        "the session with the cloud was lost {losses} times in a row ({reason}); restart the \
         cloud or use another; for slow ones raise --deadline or lower --chunk"
    )]
    KeepsFailing {
        /// Losses without an answer in between.
        losses: usize,
        /// The last one's cause.
        reason: String,
    },
    /// The cloud was out of reach a moment ago and is left alone for a while.
    #[error(
        "the cloud was out of reach a moment ago ({reason}); it is tried again in \
         {retry_after:.1?}"
    )]
    Resting {
        /// The end of the last try.
        reason: String,
        /// Time until it is tried again.
        retry_after: Duration,
    },
    /// The turn was ended while the transport waited.
    #[error("the turn was cancelled")]
    Cancelled,
    /// A message cannot be written or read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The middle in this process failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl TransportError {
    /// Whether the cloud cannot be reached, or not for long enough, or takes nobody more.
    pub(crate) fn is_out_of_reach(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::KeepsFailing { .. }
                | Self::Resting { .. }
                | Self::NoRoom(_)
        )
    }
}
