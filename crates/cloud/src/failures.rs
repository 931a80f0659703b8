//! Failures as devices and earlier stages are told of them.

use std::any::Any;

use tonic::{Code, Status};
use tricorn_core::{AppendError, EntryError};
use tricorn_wire::{ErrorCode, Failure};

use crate::downstream::StageLost;

pub(crate) fn shutting_down() -> Failure {
    Failure {
        code: ErrorCode::Shutdown,
        message: "this cloud is shutting down; reconnect elsewhere".to_owned(),
    }
}

pub(crate) fn stage_failure(lost: &StageLost) -> Failure {
    Failure { code: ErrorCode::StageLost, message: lost.to_string() }
}

pub(crate) fn append_failure(error: &AppendError) -> Failure {
    let code = match error {
        AppendError::TooManyRows { .. } => ErrorCode::TooLarge,
        AppendError::Empty { .. }
        | AppendError::BeyondContext { .. }
        | AppendError::Gap { .. }
        | AppendError::QueueFull { .. } => ErrorCode::BadAppend,
    };
    Failure { code, message: error.to_string() }
}

/// A session does not fit what a later stage holds of it.
pub(crate) fn entry_failure(error: &EntryError) -> Failure {
    let code = match error {
        EntryError::Full { .. } => ErrorCode::Busy,
        EntryError::Gap { .. } | EntryError::NoLane => ErrorCode::StageLost,
        EntryError::BeyondContext { .. } => ErrorCode::BadAppend,
    };
    Failure { code, message: error.to_string() }
}

/// A later stage has no memory for a session's rows.
pub(crate) fn memory_failure(message: &str) -> Failure {
    Failure { code: ErrorCode::Busy, message: one_short_line(message) }
}

/// A later stage's model could not compute a batch.
pub(crate) fn model_failure(message: &str) -> Failure {
    Failure { code: ErrorCode::Internal, message: one_short_line(message) }
}

/// What fits a message for every session of a batch.
fn one_short_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(100).collect()
}

/// tonic's own refusals become the contract's errors; anything else is a connection that is gone.
pub(crate) fn transport_failure(status: &Status) -> Option<Failure> {
    let code = match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => ErrorCode::TooLarge,
        Code::Internal => ErrorCode::BadMessage,
        _ => return None,
    };
    Some(Failure { code, message: status.message().lines().next().unwrap_or_default().to_owned() })
}

pub(crate) fn panic_message(panic: Box<dyn Any + Send>) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_stage_says_is_one_short_line() {
        assert_eq!(memory_failure("full\nof rows").message, "full");
        assert_eq!(model_failure(&"ü".repeat(300)).message.chars().count(), 100);
    }
}
