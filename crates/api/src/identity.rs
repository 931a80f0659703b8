//! Identity of answers: ids, times, and seeds where a client gave none.

use std::time::{SystemTime, UNIX_EPOCH};

/// 64 random bits; the clock's where the system has none to give.
pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap_or_else(|_| since_epoch().as_nanos() as u64)
}

/// An id such as `chatcmpl-5f0c...`.
pub(crate) fn id(prefix: &str) -> String {
    format!("{prefix}{:016x}{:016x}", random(), random())
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    since_epoch().as_secs()
}

fn since_epoch() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
