//! What an engine answers.

use super::roster::Roster;
use crate::{
    DeviceError, RoundTrace, TurnReport,
    cancel::{Cancel, CancelReason},
};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tricorn_core::Logprobs;

/// A generation under way. Dropping it cancels.
#[derive(Debug)]
pub struct Generation {
    updates: mpsc::Receiver<Update>,
    /// Has a place of its own, so that a full buffer cannot hold it up.
    last: Option<oneshot::Receiver<Update>>,
    cancel: Cancel,
    roster: Arc<Roster>,
}

impl Generation {
    pub(super) fn new(
        updates: mpsc::Receiver<Update>,
        last: oneshot::Receiver<Update>,
        cancel: Cancel,
        roster: Arc<Roster>,
    ) -> Self {
        Self { updates, last: Some(last), cancel, roster }
    }

    /// The next update; `None` after the last, which is [`Update::Done`] or [`Update::Failed`]. A
    /// request with a deadline needs a runtime with a clock.
    pub async fn next(&mut self) -> Option<Update> {
        let update = tokio::select! {
            biased;
            update = self.updates.recv() => update,
            // It may still wait for a slot, where nobody looks at the clock.
            () = self.cancel.cancelled() => {
                self.roster.sweep();
                self.updates.recv().await
            }
        };
        match update {
            Some(update) => Some(update),
            None => self.last.take()?.await.ok(),
        }
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.cancel.cancel(CancelReason::Client);
        self.roster.sweep();
    }
}

/// What a generation reports while it runs.
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
        /// What is added to the text.
        text: String,
        /// The tokens whose text is complete with this.
        tokens: Vec<TextToken>,
    },
    /// An answer of the cloud was taken in; only with
    /// [`GenerationRequest::trace`](super::GenerationRequest::trace), and before the text that it
    /// confirms.
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
    /// What the model held of its position, where
    /// [`GenerationRequest::logprobs`](super::GenerationRequest::logprobs) asks for it.
    pub logprobs: Option<Logprobs>,
}

impl TextToken {
    /// Leaves the first `bytes` bytes of its text.
    pub(super) fn cut(&mut self, bytes: usize) {
        self.text.truncate(
            (0..=bytes).rev().find(|&end| self.text.is_char_boundary(end)).unwrap_or_default(),
        );
        self.bytes.truncate(bytes);
    }
}

/// How a generation ended.
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

/// Why an engine does not take a request.
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
