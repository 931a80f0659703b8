//! What devices are told when something fails.

use std::any::Any;

use tricorn_core::AppendError;
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

pub(crate) fn panic_message(panic: Box<dyn Any + Send>) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").lines().next().unwrap_or_default().to_owned()
}
