//! Updates of a generation, and its end.

use crate::{
    error::DeviceError,
    turn::{RoundTrace, TurnReport},
};
use tricorn_core::Logprobs;

/// An update of a generation, told while it runs.
#[derive(Debug)]
pub enum Update {
    /// It waits for a slot.
    Queued,
    /// The prompt is in, and the first token is there.
    Prefilled {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// Of these, the ones that were neither computed nor uploaded again.
        cached_tokens: usize,
    },
    /// More text. Either may be empty: text is held back while it may yet become a stop text or
    /// half a character.
    Delta {
        /// Text that is added.
        text: String,
        /// The tokens whose text is complete with this.
        tokens: Vec<TextToken>,
    },
    /// An answer of the cloud was taken in; only with
    /// [`GenerationRequest::trace`](crate::engine::GenerationRequest::trace), and before the text
    /// that it confirms.
    Round(RoundTrace),
    /// The session with the cloud was lost and is being rebuilt.
    Reconnecting,
    /// The cloud is out of reach: from here on the device answers with its own drafter.
    Offline,
    /// The generation is over.
    Done(Box<Finished>),
    /// It failed.
    Failed(DeviceError),
}

/// One generated token.
#[derive(Clone, Debug, PartialEq)]
pub struct TextToken {
    /// Its id.
    pub id: u32,
    /// Whether the device had drafted it.
    pub drafted: bool,
    /// Its text; of a token that a stop text cuts, what is left.
    pub text: String,
    /// Its bytes, which may be a part of a character.
    pub bytes: Vec<u8>,
    /// The model's log-probabilities at its position, where
    /// [`GenerationRequest::logprobs`](crate::engine::GenerationRequest::logprobs) asks for it.
    pub logprobs: Option<Logprobs>,
}

impl TextToken {
    /// Leaves the first `bytes` bytes of its text.
    pub(in crate::engine) fn cut(&mut self, bytes: usize) {
        self.text.truncate(
            (0..=bytes).rev().find(|&end| self.text.is_char_boundary(end)).unwrap_or_default(),
        );
        self.bytes.truncate(bytes);
    }
}

/// The end of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended the text.
    Stop,
    /// This stop text came up.
    StopText(String),
    /// `max_new_tokens` were generated, or the context is full.
    Length,
}

/// A generation that is over.
#[derive(Debug)]
pub struct Finished {
    /// Why.
    pub finish: Finish,
    /// Its figures.
    pub report: TurnReport,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Of these, the ones that were neither computed nor uploaded again.
    pub cached_tokens: usize,
    /// Tokens generated, one that ended the text included.
    pub completion_tokens: usize,
    /// Whether the device's drafter wrote some of the text without the cloud.
    pub offline: bool,
}

/// The reason why an engine does not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many wait.
    #[error("{waiting} requests wait already; try again later")]
    Busy {
        /// Requests that wait.
        waiting: usize,
    },
    /// It ends.
    #[error("the device is shutting down; try again once it is back")]
    Closing,
}
