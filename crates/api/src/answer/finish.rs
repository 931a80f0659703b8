//! `finish_reason`: the end of a choice in OpenAI's words.

use tricorn_device::engine::{Finish, Finished};

/// The reason for which a choice ended.
pub(super) fn reason(finished: &Finished) -> &'static str {
    match finished.finish {
        Finish::Stop | Finish::StopText(_) => "stop",
        Finish::Length => "length",
    }
}
