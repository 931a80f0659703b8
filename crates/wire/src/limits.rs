//! Limits of message sizes.

use tricorn_core::{HiddenCodec, SessionLimits};

/// Room for everything in a message but its rows. An error's text is the longest of it.
const ENVELOPE_BYTES: usize = 4096;

/// Bytes of the largest message of either direction, for tonic's encoding and decoding limits.
#[must_use]
pub fn max_message_bytes(limits: SessionLimits, codec: HiddenCodec, hidden: usize) -> usize {
    limits
        .max_append_rows
        .saturating_mul(hidden)
        .saturating_mul(codec.bytes_per_value())
        .saturating_add(ENVELOPE_BYTES)
}

/// A batch entry without its rows: four numbers of at most ten bytes each, with their tags.
const ENTRY_BYTES: usize = 64;
/// An entry's failure, or the name of a session that has ended.
const SESSION_BYTES: usize = 512;

/// Bytes of the largest message between stages, for batches of at most `rows` rows and `sessions`
/// sessions at a time.
#[must_use]
pub fn max_stage_message_bytes(rows: usize, sessions: usize, hidden: usize) -> usize {
    let row = hidden.saturating_mul(HiddenCodec::F32.bytes_per_value()).saturating_add(ENTRY_BYTES);
    rows.saturating_mul(row)
        .saturating_add(sessions.saturating_mul(SESSION_BYTES))
        .saturating_add(ENVELOPE_BYTES)
}
