//! Uplink: messages from a device to a cloud.

use bytes::Bytes;
use tricorn_core::{AppendHeader, AppendKind, Fingerprint, Formats, HiddenCodec, Split, Want};

use crate::{
    WireError, codec,
    convert::{self, required, to_u64, to_usize},
    formats::formats,
    proto::{self, uplink::Message},
};

/// Device to cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uplink {
    /// The first message.
    Open(Open),
    /// Hidden rows.
    Append(Append),
    /// The session is over.
    Close,
}

/// What the device holds and asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The device's model.
    pub fingerprint: Fingerprint,
    /// Where the device cuts it.
    pub split: Split,
    /// Values in one hidden row.
    pub hidden: usize,
    /// Codecs the device can speak, in its order of preference.
    pub codecs: Vec<HiddenCodec>,
    /// Longest sequence wanted, in tokens; `None` asks for the most the cloud allows.
    pub context: Option<usize>,
    /// What the device holds its numbers in.
    pub formats: Formats,
}

/// Shallow rows, still encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Where the rows go and what is wanted back. [`AppendHeader::end`] does not overflow on
    /// anything received.
    pub header: AppendHeader,
    /// `header.rows` x hidden values in the session's codec.
    pub rows: Bytes,
}

impl Append {
    /// Encodes `rows`, `header.rows` x `hidden` values in row-major order.
    ///
    /// # Errors
    /// When the number of values is wrong or the codec cannot make one finite.
    pub fn encode(
        header: AppendHeader,
        codec: HiddenCodec,
        hidden: usize,
        rows: &[f32],
    ) -> Result<Self, WireError> {
        let rows = codec::encode("append.rows", codec, header.rows, hidden, rows)?;
        Ok(Self { header, rows })
    }

    /// The `header.rows` x `hidden` values in row-major order.
    ///
    /// # Errors
    /// When the number of bytes is wrong or a value is not finite.
    pub fn decode(&self, codec: HiddenCodec, hidden: usize) -> Result<Vec<f32>, WireError> {
        codec::decode("append.rows", codec, self.header.rows, hidden, &self.rows)
    }
}

impl From<Uplink> for proto::Uplink {
    fn from(uplink: Uplink) -> Self {
        let message = match uplink {
            Uplink::Open(open) => Message::Open(proto::Open {
                model_fingerprint: convert::fingerprint_bytes(open.fingerprint),
                split: Some(convert::proto_split(open.split)),
                hidden: to_u64(open.hidden),
                codecs: convert::proto_codecs(&open.codecs),
                context: open.context.map_or(0, to_u64),
                formats: Some(open.formats.into()),
            }),
            Uplink::Append(Append { header, rows }) => Message::Append(proto::Append {
                epoch: header.epoch,
                pos: to_u64(header.pos),
                row_count: to_u64(header.rows),
                want: proto_want(header.want).into(),
                kind: proto_kind(header.kind).into(),
                rows,
            }),
            Uplink::Close => Message::Close(proto::Close {}),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<proto::Uplink> for Uplink {
    type Error = WireError;

    fn try_from(uplink: proto::Uplink) -> Result<Self, WireError> {
        Ok(match required("uplink.message", uplink.message)? {
            Message::Open(open) => Self::Open(Open {
                fingerprint: convert::fingerprint(
                    "open.model_fingerprint",
                    &open.model_fingerprint,
                )?,
                split: convert::split(required("open.split", open.split)?)?,
                hidden: to_usize("open.hidden", open.hidden)?,
                codecs: convert::known_codecs(&open.codecs),
                context: Some(to_usize("open.context", open.context)?)
                    .filter(|&context| context > 0),
                formats: formats(open.formats)?,
            }),
            Message::Append(append) => {
                let pos = to_usize("append.pos", append.pos)?;
                let rows = to_usize("append.row_count", append.row_count)?;
                pos.checked_add(rows).ok_or(WireError::OutOfRange {
                    field: "append.pos + append.row_count",
                    value: append.pos,
                })?;
                let header = AppendHeader {
                    epoch: append.epoch,
                    pos,
                    rows,
                    want: want(append.want)?,
                    kind: kind(append.kind)?,
                };
                Self::Append(Append { header, rows: append.rows })
            }
            Message::Close(proto::Close {}) => Self::Close,
        })
    }
}

fn proto_want(want: Want) -> proto::Want {
    match want {
        Want::None => proto::Want::None,
        Want::Last => proto::Want::Last,
        Want::All => proto::Want::All,
    }
}

fn want(value: i32) -> Result<Want, WireError> {
    match proto::Want::try_from(value) {
        Ok(proto::Want::None) => Ok(Want::None),
        Ok(proto::Want::Last) => Ok(Want::Last),
        Ok(proto::Want::All) => Ok(Want::All),
        Ok(proto::Want::Unspecified) | Err(_) => {
            Err(WireError::UnknownValue { field: "append.want", value })
        }
    }
}

fn proto_kind(kind: AppendKind) -> proto::AppendKind {
    match kind {
        AppendKind::Prompt => proto::AppendKind::Prompt,
        AppendKind::Verify => proto::AppendKind::Verify,
    }
}

fn kind(value: i32) -> Result<AppendKind, WireError> {
    match proto::AppendKind::try_from(value) {
        Ok(proto::AppendKind::Prompt) => Ok(AppendKind::Prompt),
        Ok(proto::AppendKind::Verify) => Ok(AppendKind::Verify),
        Ok(proto::AppendKind::Unspecified) | Err(_) => {
            Err(WireError::UnknownValue { field: "append.kind", value })
        }
    }
}
