//! Why a turn fails.

use crate::link::LinkError;
use tricorn_core::{ProtocolError, TurnError};
use tricorn_model::ModelError;

/// A turn that ended in an error. The conversation can be used again: its next turn reconnects and replays.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The prompt cannot be used.
    #[error(transparent)]
    Turn(#[from] TurnError),
    /// The model's files or the device's own computing.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The cloud refused, or cannot be reached.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The cloud breaks the protocol again and again.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// Text cannot be told from a chat without a template.
    #[error("the model has no chat template; give the whole prompt, as `tricorn run --raw` and /v1/completions take it")]
    NoTemplate,
    /// The prompt holds nothing.
    #[error("the prompt is empty; write some text")]
    EmptyPrompt,
}
