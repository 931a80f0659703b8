//! What is asked of an engine, and what it answers.

use crate::{DeviceError, TurnReport};
use tokio::sync::mpsc;
use tricorn_core::{ChunkPolicy, DraftPolicy, SamplingParams};

/// One text to generate.
#[derive(Clone, Debug)]
pub struct GenerationRequest {
    /// The whole conversation so far, in tokens.
    pub prompt: Vec<u32>,
    /// Most tokens to generate.
    pub max_new_tokens: usize,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// Texts that end the generation where they begin; none of them is empty.
    pub stop: Vec<String>,
    /// What is drafted. Has no influence on the text.
    pub draft: DraftPolicy,
    /// How the prompt is cut for the upload. Has no influence on the text.
    pub chunk: ChunkPolicy,
}

/// A generation under way. Dropping it cancels.
#[derive(Debug)]
pub struct Generation {
    updates: mpsc::Receiver<Update>,
}

impl Generation {
    pub(super) fn new(updates: mpsc::Receiver<Update>) -> Self {
        Self { updates }
    }

    /// The next update; `None` after the last, which is [`Update::Done`] or [`Update::Failed`], or when the engine is gone.
    pub async fn next(&mut self) -> Option<Update> {
        self.updates.recv().await
    }
}

/// What a generation reports while it runs.
#[derive(Debug)]
pub enum Update {
    /// More text. Either may be empty: text is held back while it may yet become a stop text or half a character.
    Delta {
        /// What is added to the text.
        text: String,
        /// The tokens whose text is complete with this.
        tokens: Vec<TextToken>,
    },
    /// The session with the cloud was lost and is being rebuilt.
    Reconnecting,
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
}

/// The engine takes on no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} requests wait already; try again later")]
pub struct Busy {
    /// Requests that wait.
    pub waiting: usize,
}

/// A request with its way back to whoever asked.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: GenerationRequest,
    pub(super) updates: mpsc::Sender<Update>,
}
