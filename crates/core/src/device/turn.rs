//! Turn options, and how a turn ends.

use super::{ChunkPolicy, DraftPolicy};

/// Options of one turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TurnOptions {
    /// Most tokens to generate; with 0 the turn is over at once.
    pub max_new_tokens: usize,
    /// Tokens that end the turn. The one that does is kept, as the last of the generated tokens.
    pub stop_tokens: Vec<u32>,
    /// When drafting stops. Has no influence on the text.
    pub draft: DraftPolicy,
    /// How the prompt is cut. Has no influence on the text.
    pub chunk: ChunkPolicy,
}

/// The reason why a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// A stop token was generated, or a token after which none can follow.
    Stop,
    /// `max_new_tokens` were generated, or the context is full.
    Length,
    /// [`DeviceSession::cancel`](super::DeviceSession::cancel) was called.
    Cancelled,
}

/// The reason why a turn does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TurnError {
    /// There is no token to go on from.
    #[error("the prompt is empty; give at least one token")]
    Empty,
    /// The prompt leaves no room for a token.
    #[error(
        "the prompt has {tokens} tokens, the context holds {context} and one must be left to \
         generate; shorten the prompt"
    )]
    TooLong {
        /// The prompt's tokens.
        tokens: usize,
        /// [`SessionConfig::context`](super::SessionConfig::context).
        context: usize,
    },
}
