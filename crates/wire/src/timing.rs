//! Timing of an answer in the cloud, checked.

use tricorn_core::{AnswerTiming, Received};

use crate::{
    convert::{clamped_bytes, clamped_count, clamped_duration, micros, to_u64},
    proto,
};

pub(crate) fn to_proto(timing: AnswerTiming) -> proto::Timing {
    let AnswerTiming { queue, compute, batch_rows, batch_appends, received } = timing;
    proto::Timing {
        queue_us: micros(queue),
        compute_us: micros(compute),
        batch_tokens: to_u64(batch_rows),
        batch_appends: to_u64(batch_appends),
        receive_us: received.map_or(0, |received| micros(received.time)),
        receive_bytes: received.map_or(0, |received| received.bytes),
    }
}

/// Absurd values are clamped: a time only steers, and is no reason to lose a session.
pub(crate) fn from_proto(timing: proto::Timing) -> AnswerTiming {
    let known = timing.receive_us > 0 && timing.receive_bytes > 0;
    AnswerTiming {
        queue: clamped_duration(timing.queue_us),
        compute: clamped_duration(timing.compute_us),
        batch_rows: clamped_count(timing.batch_tokens),
        batch_appends: clamped_count(timing.batch_appends),
        received: known.then(|| Received {
            bytes: clamped_bytes(timing.receive_bytes),
            time: clamped_duration(timing.receive_us),
        }),
    }
}
