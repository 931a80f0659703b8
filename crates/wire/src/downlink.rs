//! Downlink: messages from a cloud to a device.

use bytes::Bytes;
use tricorn_core::{AnswerTiming, DeepHeader, HiddenCodec, SessionLimits};

use crate::{
    ErrorCode, Load, WireError, codec,
    convert::{self, required, to_u64, to_usize},
    proto::{self, downlink::Message},
    timing,
};

/// Cloud to device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Downlink {
    /// The session is open.
    Opened(Opened),
    /// The answer to one append.
    Deep(Deep),
    /// The cloud is going away: answers to what it has accepted follow, then the stream ends.
    Drain,
    /// The session failed; the stream ends.
    Failed(Failure),
}

/// What the cloud grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Codec of every append and every answer.
    pub codec: HiddenCodec,
    /// Limits of this session.
    pub limits: SessionLimits,
    /// Names the session in the cloud's logs.
    pub session_id: u64,
    /// Load and throughput of the cloud.
    pub load: Load,
}

/// Deep rows, still encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deep {
    /// Which append is answered and which rows are carried.
    pub header: DeepHeader,
    /// `header.rows` x hidden values in the session's codec.
    pub rows: Bytes,
    /// Where the cloud spent its time.
    pub timing: AnswerTiming,
    /// How busy the cloud is; answers to verifications leave out the batch delays.
    pub load: Load,
}

/// Reason why the cloud ended a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// For programs.
    pub code: ErrorCode,
    /// One line for a human.
    pub message: String,
}

impl ErrorCode {
    /// Whether the same session may succeed on another try, here or on another cloud.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Busy
                | Self::Deadline
                | Self::Shutdown
                | Self::Internal
                | Self::SlowReader
                | Self::StageLost
        )
    }
}

impl Deep {
    /// Encodes `rows`, `header.rows` x `hidden` values in row-major order.
    ///
    /// # Errors
    /// When the number of values is wrong or the codec cannot make one finite.
    pub fn encode(
        header: DeepHeader,
        codec: HiddenCodec,
        hidden: usize,
        rows: &[f32],
        timing: AnswerTiming,
        load: Load,
    ) -> Result<Self, WireError> {
        let rows = codec::encode("deep.rows", codec, header.rows, hidden, rows)?;
        Ok(Self { header, rows, timing, load })
    }

    /// The `header.rows` x `hidden` values in row-major order.
    ///
    /// # Errors
    /// When the number of bytes is wrong or a value is not finite.
    pub fn decode(&self, codec: HiddenCodec, hidden: usize) -> Result<Vec<f32>, WireError> {
        codec::decode("deep.rows", codec, self.header.rows, hidden, &self.rows)
    }
}

impl From<Downlink> for proto::Downlink {
    fn from(downlink: Downlink) -> Self {
        let message = match downlink {
            Downlink::Opened(opened) => Message::Opened(proto::Opened {
                codec: convert::proto_codec(opened.codec).into(),
                limits: Some(convert::proto_limits(opened.limits)),
                session_id: opened.session_id,
                load: Some(opened.load.into()),
            }),
            Downlink::Deep(Deep { header, rows, timing, load }) => Message::Deep(proto::Deep {
                epoch: header.epoch,
                pos: to_u64(header.pos),
                first_row_pos: to_u64(header.first_row_pos),
                row_count: to_u64(header.rows),
                rows,
                timing: Some(timing::to_proto(timing)),
                load: Some(load.into()),
            }),
            Downlink::Drain => Message::Drain(proto::Drain {}),
            Downlink::Failed(failure) => Message::Error(failure.into()),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<proto::Downlink> for Downlink {
    type Error = WireError;

    fn try_from(downlink: proto::Downlink) -> Result<Self, WireError> {
        Ok(match required("downlink.message", downlink.message)? {
            Message::Opened(opened) => Self::Opened(Opened {
                codec: convert::codec("opened.codec", opened.codec)?,
                limits: convert::limits(required("opened.limits", opened.limits)?)?,
                session_id: opened.session_id,
                load: opened.load.unwrap_or_default().try_into()?,
            }),
            Message::Deep(deep) => {
                let first_row_pos = to_usize("deep.first_row_pos", deep.first_row_pos)?;
                let rows = to_usize("deep.row_count", deep.row_count)?;
                first_row_pos.checked_add(rows).ok_or(WireError::OutOfRange {
                    field: "deep.first_row_pos + deep.row_count",
                    value: deep.first_row_pos,
                })?;
                let header = DeepHeader {
                    epoch: deep.epoch,
                    pos: to_usize("deep.pos", deep.pos)?,
                    rows,
                    first_row_pos,
                };
                let timing = timing::from_proto(deep.timing.unwrap_or_default());
                let load = deep.load.unwrap_or_default().try_into()?;
                Self::Deep(Deep { header, rows: deep.rows, timing, load })
            }
            Message::Drain(proto::Drain {}) => Self::Drain,
            Message::Error(error) => Self::Failed(error.into()),
        })
    }
}

impl From<Failure> for proto::Error {
    fn from(Failure { code, message }: Failure) -> Self {
        Self { code: code.into(), message }
    }
}

impl From<proto::Error> for Failure {
    /// A code from a newer cloud is still an error: it stays, unspecified, with its message.
    fn from(error: proto::Error) -> Self {
        Self { code: error.code(), message: error.message }
    }
}
