//! The way from a device to a middle.

mod backoff;
mod local;
mod probe;
mod remote;

pub use backoff::Backoff;
pub use local::LocalLink;
pub use probe::CloudProbe;
pub use remote::{RemoteConfig, RemoteLink};

use crate::Cancel;
use std::time::Duration;
use tricorn_core::{AnswerTiming, AppendHeader, CloudPace, DeepHeader, SessionLimits};
use tricorn_model::ModelError;
use tricorn_wire::{Failure, WireError};

/// How long an answer is waited for by default.
const DEADLINE: Duration = Duration::from_secs(30);

/// A session on a middle: appends go in, answers come out in order.
pub trait Link {
    /// Opens a fresh, empty session in place of any there was.
    ///
    /// # Errors
    /// [`LinkError::Unreachable`] or [`LinkError::NoRoom`] after the last retry,
    /// [`LinkError::Refused`] when no retry can help.
    fn connect(&mut self) -> Result<Connected, LinkError>;

    /// As [`connect`](Self::connect), with one try only.
    ///
    /// # Errors
    /// As those of [`connect`](Self::connect).
    fn probe(&mut self) -> Result<Connected, LinkError> {
        self.connect()
    }

    /// Sends `header.rows` rows of hidden values, already rounded by the codec.
    ///
    /// # Errors
    /// [`LinkError::Lost`] when the session is gone.
    fn send(&mut self, header: AppendHeader, rows: &[f32]) -> Result<(), LinkError>;

    /// Waits for the next answer, at most as long as the link's deadline.
    ///
    /// # Errors
    /// [`LinkError::Lost`] or [`LinkError::Evicted`] when the session is gone or the deadline has
    /// passed; [`LinkError::Refused`] when the cloud found fault.
    fn receive(&mut self) -> Result<Answer, LinkError>;

    /// The next answer if it is there, without waiting.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), but for the deadline.
    fn try_receive(&mut self) -> Result<Option<Answer>, LinkError>;

    /// Waits end with [`LinkError::Cancelled`] from now on where `cancel` ends the turn; the
    /// session stays as it is. A link that never waits need not heed it.
    fn interrupt_by(&mut self, _cancel: &Cancel) {}

    /// How long an answer is waited for.
    fn deadline(&self) -> Duration {
        DEADLINE
    }

    /// What has crossed the wire so far.
    fn traffic(&self) -> Traffic;
}

/// One append's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Which append is answered, and which rows are carried.
    pub header: DeepHeader,
    /// The deep rows, `header.rows x hidden`.
    pub rows: Vec<f32>,
    /// Where the cloud spent its time; zeros where there is none.
    pub timing: AnswerTiming,
    /// How fast the cloud says it is.
    pub pace: Option<CloudPace>,
    /// Bytes of the message; 0 where there is no wire.
    pub bytes: u64,
}

/// A session that was opened.
#[derive(Clone, Debug)]
pub struct Connected {
    /// Its limits.
    pub limits: SessionLimits,
    /// The round trip that opening it took; `None` where there is no wire.
    pub round_trip: Option<Duration>,
    /// How fast the cloud says it is.
    pub pace: Option<CloudPace>,
}

/// Bytes of messages sent and received, HTTP/2 framing not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Device to cloud.
    pub up: u64,
    /// Cloud to device.
    pub down: u64,
}

impl Traffic {
    /// What has crossed since it was `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { up: self.up - before.up, down: self.down - before.down }
    }
}

/// Checks what the wire checks, where no wire is.
pub(crate) fn all_finite(rows: &[f32], part: &'static str) -> Result<(), ModelError> {
    if rows.iter().all(|value| value.is_finite()) {
        Ok(())
    } else {
        Err(ModelError::NotFinite { part })
    }
}

impl LinkError {
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

/// Why a link fails.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
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
        /// Where it should be.
        url: String,
        /// Connections tried.
        attempts: usize,
        /// Time spent.
        waited: Duration,
        /// What the last try ended in.
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
        /// What the last one was.
        reason: String,
    },
    /// The cloud was out of reach a moment ago and is left alone for a while.
    #[error(
        "the cloud was out of reach a moment ago ({reason}); it is tried again in \
         {retry_after:.1?}"
    )]
    Resting {
        /// What the last try ended in.
        reason: String,
        /// When it is tried again.
        retry_after: Duration,
    },
    /// The turn was ended while the link waited.
    #[error("the turn was cancelled")]
    Cancelled,
    /// A message cannot be written or read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The middle in this process failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}
