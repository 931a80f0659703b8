//! How large a message may be.

use tricorn_core::{HiddenCodec, SessionLimits};

/// Room for everything in a message but its rows. An error's text is the longest of it.
const ENVELOPE_BYTES: usize = 4096;

/// Bytes of the largest message of either direction, for tonic's encoding and decoding limits.
#[must_use]
pub fn max_message_bytes(limits: SessionLimits, codec: HiddenCodec, hidden: usize) -> usize {
    limits.max_append_rows.saturating_mul(hidden).saturating_mul(codec.bytes_per_value()).saturating_add(ENVELOPE_BYTES)
}
