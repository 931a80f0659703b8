//! Errors of a turn.

use crate::transport::TransportError;
use std::time::Duration;
use tricorn_core::{ConstraintFailed, ProtocolError, SamplingError, TurnError};
use tricorn_model::ModelError;
use tricorn_text::TextError;

/// After which time a cloud that was out of reach is worth another try, where nothing is known of
/// it.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A turn that ended in an error. The conversation can be used again: its next turn reconnects and
/// replays.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The prompt cannot be used.
    #[error(transparent)]
    Turn(#[from] TurnError),
    /// The sampling asks for a token that the model does not have.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// The text cannot be held to what it must look like.
    #[error(transparent)]
    Constraint(#[from] ConstraintFailed),
    /// The model's files or the device's own computing.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The tokenizer or the chat template refuses the text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The cloud refused, or cannot be reached.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The cloud breaks the protocol again and again.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// Text cannot be told from a chat without a template.
    #[error(
        "the model has no chat template; give the whole prompt, as `tricorn run --raw` and \
         /v1/completions take it"
    )]
    NoTemplate,
    /// The prompt holds nothing.
    #[error("the prompt is empty; write some text")]
    EmptyPrompt,
    /// The request's own deadline has passed.
    #[error("the request was not done within {0:?}; allow it more time or ask for fewer tokens")]
    Deadline(Duration),
    /// The client did not take what was generated, or too slowly.
    #[error("the client took too little of the answer for {0:?}; read it as it comes")]
    SlowClient(Duration),
    /// The engine ends.
    #[error("the device is shutting down; try again once it is back")]
    Closing,
    /// A fault of this program ended the request.
    #[error("a fault of this program ended the request; try again, and please report it")]
    Fault,
}

impl DeviceError {
    /// The error in words that hold nothing of a text: what a log may tell.
    pub(crate) fn without_text(&self) -> String {
        match self {
            Self::Constraint(_) => "the text cannot be held to its grammar".to_owned(),
            Self::Text(_) => "the tokenizer or the chat template refuses the text".to_owned(),
            Self::Sampling(_) => "the sampling options do not fit the model".to_owned(),
            error => error.to_string(),
        }
    }

    /// After which time the same request may well succeed; `None` where time does not help.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Transport(TransportError::Resting { retry_after, .. }) => Some(*retry_after),
            Self::Transport(
                TransportError::Unreachable { .. }
                | TransportError::KeepsFailing { .. }
                | TransportError::Lost(_)
                | TransportError::Evicted(_)
                | TransportError::NoRoom(_),
            )
            | Self::Closing => Some(RETRY_AFTER),
            Self::Transport(TransportError::Refused(failure)) if failure.code.is_transient() => {
                Some(RETRY_AFTER)
            }
            _ => None,
        }
    }
}
