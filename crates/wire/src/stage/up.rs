//! Stage requests: from the stage with the earlier layers.

use std::collections::BTreeSet;

use bytes::Bytes;
use tricorn_core::{Fingerprint, Formats, Split, StageEntry};

use super::CODEC;
use crate::{
    WireError, codec,
    convert::{self, required, to_u64, to_usize},
    formats::formats,
    proto::{self, stage_up::Message},
};

/// Earlier stage to later stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageUp {
    /// The first message.
    Open(StageOpen),
    /// Hidden rows of several sessions.
    Batch(StageBatch),
}

/// What the earlier stage holds and how much it may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageOpen {
    /// The whole model's.
    pub fingerprint: Fingerprint,
    /// Where the device cuts it.
    pub split: Split,
    /// Values in one hidden row.
    pub hidden: usize,
    /// The layer at which the later stage must begin, counted in the whole model.
    pub first_layer: usize,
    /// Longest sequence, in tokens.
    pub context: usize,
    /// Most sessions at a time.
    pub max_sessions: usize,
    /// Most rows in one batch.
    pub max_batch_rows: usize,
    /// What the sender holds its numbers in.
    pub formats: Formats,
}

/// Rows of several sessions, still encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageBatch {
    /// Greater than that of every batch before.
    pub id: u64,
    /// Whose rows, in order. No session is there twice in anything received.
    pub entries: Vec<StageEntry>,
    /// [`row_count`](Self::row_count) x hidden values, as f32.
    pub rows: Bytes,
    /// Sessions that have ended since the batch before.
    pub closed: Vec<u64>,
}

impl StageBatch {
    /// Encodes the rows of all entries, `hidden` values each, in row-major order.
    ///
    /// # Errors
    /// When the number of values is wrong or one is not finite.
    pub fn encode(
        id: u64,
        entries: Vec<StageEntry>,
        closed: Vec<u64>,
        hidden: usize,
        rows: &[f32],
    ) -> Result<Self, WireError> {
        let rows = codec::encode("stage_batch.rows", CODEC, row_count(&entries), hidden, rows)?;
        Ok(Self { id, entries, rows, closed })
    }

    /// The rows of all entries, `hidden` values each, in row-major order.
    ///
    /// # Errors
    /// When the number of bytes is wrong or a value is not finite.
    pub fn decode(&self, hidden: usize) -> Result<Vec<f32>, WireError> {
        codec::decode("stage_batch.rows", CODEC, self.row_count(), hidden, &self.rows)
    }

    /// Rows of all entries.
    #[must_use]
    pub fn row_count(&self) -> usize {
        row_count(&self.entries)
    }
}

/// Saturates on numbers from outside, which then fit no byte string.
fn row_count(entries: &[StageEntry]) -> usize {
    entries.iter().fold(0, |rows, entry| rows.saturating_add(entry.rows))
}

impl From<StageUp> for proto::StageUp {
    fn from(up: StageUp) -> Self {
        let message = match up {
            StageUp::Open(open) => Message::Open(proto::StageOpen {
                model_fingerprint: convert::fingerprint_bytes(open.fingerprint),
                split: Some(convert::proto_split(open.split)),
                hidden: to_u64(open.hidden),
                first_layer: to_u64(open.first_layer),
                context: to_u64(open.context),
                max_sessions: to_u64(open.max_sessions),
                max_batch_rows: to_u64(open.max_batch_rows),
                formats: Some(open.formats.into()),
            }),
            StageUp::Batch(StageBatch { id, entries, rows, closed }) => {
                let entries = entries.into_iter().map(proto::StageEntry::from).collect();
                Message::Batch(proto::StageBatch { id, entries, rows, closed })
            }
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<proto::StageUp> for StageUp {
    type Error = WireError;

    fn try_from(up: proto::StageUp) -> Result<Self, WireError> {
        Ok(match required("stage_up.message", up.message)? {
            Message::Open(open) => Self::Open(StageOpen {
                fingerprint: convert::fingerprint(
                    "stage_open.model_fingerprint",
                    &open.model_fingerprint,
                )?,
                split: convert::split(required("stage_open.split", open.split)?)?,
                hidden: to_usize("stage_open.hidden", open.hidden)?,
                first_layer: to_usize("stage_open.first_layer", open.first_layer)?,
                context: to_usize("stage_open.context", open.context)?,
                max_sessions: to_usize("stage_open.max_sessions", open.max_sessions)?,
                max_batch_rows: to_usize("stage_open.max_batch_rows", open.max_batch_rows)?,
                formats: formats(open.formats)?,
            }),
            Message::Batch(proto::StageBatch { id, entries, rows, closed }) => {
                let entries =
                    entries.into_iter().map(StageEntry::try_from).collect::<Result<Vec<_>, _>>()?;
                let mut sessions = BTreeSet::new();
                if let Some(twice) = entries.iter().find(|entry| !sessions.insert(entry.session)) {
                    return Err(WireError::OutOfRange {
                        field: "stage_entry.session",
                        value: twice.session,
                    });
                }
                Self::Batch(StageBatch { id, entries, rows, closed })
            }
        })
    }
}

impl From<StageEntry> for proto::StageEntry {
    fn from(StageEntry { session, pos, rows, answer_rows }: StageEntry) -> Self {
        Self {
            session,
            pos: to_u64(pos),
            row_count: to_u64(rows),
            answer_rows: to_u64(answer_rows),
        }
    }
}

impl TryFrom<proto::StageEntry> for StageEntry {
    type Error = WireError;

    fn try_from(entry: proto::StageEntry) -> Result<Self, WireError> {
        let out_of_range = |field, value| Err(WireError::OutOfRange { field, value });
        let pos = to_usize("stage_entry.pos", entry.pos)?;
        let rows = to_usize("stage_entry.row_count", entry.row_count)?;
        let answer_rows = to_usize("stage_entry.answer_rows", entry.answer_rows)?;
        if rows == 0 {
            return out_of_range("stage_entry.row_count", entry.row_count);
        }
        if pos.checked_add(rows).is_none() {
            return out_of_range("stage_entry.pos + stage_entry.row_count", entry.pos);
        }
        if answer_rows > rows {
            return out_of_range("stage_entry.answer_rows", entry.answer_rows);
        }
        Ok(Self { session: entry.session, pos, rows, answer_rows })
    }
}
