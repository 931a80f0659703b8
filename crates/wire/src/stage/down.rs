//! Stage answers: from the stage with the later layers.

use std::time::Duration;

use bytes::Bytes;

use super::CODEC;
use crate::{
    Failure, WireError, codec,
    convert::{clamped_duration, micros, required, to_u64, to_usize},
    proto::{self, stage_down::Message},
};

/// Later stage to earlier stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageDown {
    /// The stream is open.
    Opened(StageOpened),
    /// The answer to one batch.
    Done(StageDone),
    /// The stage failed, or one after it did; the stream ends.
    Failed(Failure),
}

/// What lies behind the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageOpened {
    /// Stages from this one to the last, at least 1 in anything received.
    pub stages: usize,
    /// Where the last one's layers end, counted in the whole model.
    pub end_layer: usize,
}

/// A batch's answer rows, still encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageDone {
    /// The batch's.
    pub id: u64,
    /// The answer rows of all entries that did not fail, as f32.
    pub rows: Bytes,
    /// Sessions that failed alone, and why.
    pub failed: Vec<(u64, Failure)>,
    /// The forward passes of this stage and all after it, together. At most an hour in anything
    /// received.
    pub compute: Duration,
    /// What the batch waited for them, likewise.
    pub queue: Duration,
}

impl StageDone {
    /// The `rows` x `hidden` values in row-major order.
    ///
    /// # Errors
    /// When the number of bytes is wrong or a value is not finite.
    pub fn decode(&self, rows: usize, hidden: usize) -> Result<Vec<f32>, WireError> {
        codec::decode("stage_done.rows", CODEC, rows, hidden, &self.rows)
    }

    /// `rows` x `hidden` values in row-major order, for [`rows`](Self::rows).
    ///
    /// # Errors
    /// When the number of values is wrong or one is not finite.
    pub fn encode_rows(rows: usize, hidden: usize, values: &[f32]) -> Result<Bytes, WireError> {
        codec::encode("stage_done.rows", CODEC, rows, hidden, values)
    }
}

impl From<StageDown> for proto::StageDown {
    fn from(down: StageDown) -> Self {
        let message = match down {
            StageDown::Opened(StageOpened { stages, end_layer }) => {
                Message::Opened(proto::StageOpened {
                    stages: to_u64(stages),
                    end_layer: to_u64(end_layer),
                })
            }
            StageDown::Done(StageDone { id, rows, failed, compute, queue }) => {
                Message::Done(proto::StageDone {
                    id,
                    rows,
                    failed: failed
                        .into_iter()
                        .map(|(session, failure)| proto::StageEntryFailure {
                            session,
                            error: Some(failure.into()),
                        })
                        .collect(),
                    compute_us: micros(compute),
                    queue_us: micros(queue),
                })
            }
            StageDown::Failed(failure) => Message::Error(failure.into()),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<proto::StageDown> for StageDown {
    type Error = WireError;

    fn try_from(down: proto::StageDown) -> Result<Self, WireError> {
        Ok(match required("stage_down.message", down.message)? {
            Message::Opened(opened) => {
                if opened.stages == 0 {
                    return Err(WireError::OutOfRange { field: "stage_opened.stages", value: 0 });
                }
                let stages = to_usize("stage_opened.stages", opened.stages)?;
                Self::Opened(StageOpened {
                    stages,
                    end_layer: to_usize("stage_opened.end_layer", opened.end_layer)?,
                })
            }
            Message::Done(done) => Self::Done(StageDone {
                id: done.id,
                rows: done.rows,
                failed: done
                    .failed
                    .into_iter()
                    .map(|failed| {
                        Ok((
                            failed.session,
                            required("stage_entry_failure.error", failed.error)?.into(),
                        ))
                    })
                    .collect::<Result<_, WireError>>()?,
                compute: clamped_duration(done.compute_us),
                queue: clamped_duration(done.queue_us),
            }),
            Message::Error(error) => Self::Failed(error.into()),
        })
    }
}
