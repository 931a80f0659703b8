//! Checked conversions shared by the messages.

use std::time::Duration;

use bytes::Bytes;
use tricorn_core::{Fingerprint, HiddenCodec, SessionLimits, Split};

use crate::{WireError, proto};

/// Lossless: no supported target has a `usize` of more than 64 bits.
pub(crate) fn to_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

pub(crate) fn to_usize(field: &'static str, value: u64) -> Result<usize, WireError> {
    usize::try_from(value).map_err(|_| WireError::OutOfRange { field, value })
}

/// Estimates beyond this say no more than that the cloud is hopeless; held here, they can be added
/// up without overflow.
const LONGEST: Duration = Duration::from_secs(3600);
/// The same for counts of rows, appends and stages that only steer.
pub(crate) const MOST: u64 = 1 << 24;

pub(crate) fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

/// A measured or expected time, held to an hour.
pub(crate) fn clamped_duration(micros: u64) -> Duration {
    Duration::from_micros(micros).min(LONGEST)
}

/// Bytes received, held to 2^40: with times of an hour, no link that is known is as fast.
pub(crate) fn clamped_bytes(value: u64) -> u64 {
    value.min(1 << 40)
}

/// A measured or expected count, held to 2^24.
pub(crate) fn clamped_count(value: u64) -> usize {
    value.min(MOST) as usize
}

pub(crate) fn required<T>(field: &'static str, value: Option<T>) -> Result<T, WireError> {
    value.ok_or(WireError::Missing { field })
}

pub(crate) fn fingerprint(field: &'static str, bytes: &Bytes) -> Result<Fingerprint, WireError> {
    Fingerprint::from_bytes(bytes).ok_or(WireError::Length {
        field,
        expected: 32,
        found: bytes.len(),
    })
}

pub(crate) fn fingerprint_bytes(fingerprint: Fingerprint) -> Bytes {
    Bytes::copy_from_slice(&fingerprint.0)
}

pub(crate) fn split(split: proto::Split) -> Result<Split, WireError> {
    Ok(Split {
        input_layers: to_usize("split.input_layers", split.input_layers)?,
        output_layers: to_usize("split.output_layers", split.output_layers)?,
    })
}

pub(crate) fn proto_split(split: Split) -> proto::Split {
    proto::Split {
        input_layers: to_u64(split.input_layers),
        output_layers: to_u64(split.output_layers),
    }
}

pub(crate) fn limits(limits: proto::Limits) -> Result<SessionLimits, WireError> {
    Ok(SessionLimits {
        context: to_usize("limits.context", limits.context)?,
        max_append_rows: to_usize("limits.max_append_rows", limits.max_append_rows)?,
        max_queued_rows: to_usize("limits.max_queued_rows", limits.max_queued_rows)?,
    })
}

pub(crate) fn proto_limits(limits: SessionLimits) -> proto::Limits {
    proto::Limits {
        context: to_u64(limits.context),
        max_append_rows: to_u64(limits.max_append_rows),
        max_queued_rows: to_u64(limits.max_queued_rows),
    }
}

pub(crate) fn codec(field: &'static str, value: i32) -> Result<HiddenCodec, WireError> {
    known_codec(value).ok_or(WireError::UnknownValue { field, value })
}

/// The codecs this version knows, in the peer's order; newer ones are passed over so that they can
/// be offered to older peers.
pub(crate) fn known_codecs(values: &[i32]) -> Vec<HiddenCodec> {
    values.iter().copied().filter_map(known_codec).collect()
}

pub(crate) fn proto_codec(codec: HiddenCodec) -> proto::Codec {
    match codec {
        HiddenCodec::F16z => proto::Codec::F16z,
        HiddenCodec::F16 => proto::Codec::F16,
        HiddenCodec::F32 => proto::Codec::F32,
    }
}

pub(crate) fn proto_codecs(codecs: &[HiddenCodec]) -> Vec<i32> {
    codecs.iter().map(|&codec| proto_codec(codec).into()).collect()
}

fn known_codec(value: i32) -> Option<HiddenCodec> {
    match proto::Codec::try_from(value) {
        Ok(proto::Codec::F16z) => Some(HiddenCodec::F16z),
        Ok(proto::Codec::F16) => Some(HiddenCodec::F16),
        Ok(proto::Codec::F32) => Some(HiddenCodec::F32),
        Ok(proto::Codec::Unspecified) | Err(_) => None,
    }
}
