//! What a turn asks for and reports while it runs, and what a conversation shares with others.

use crate::{DevicePace, RoundTrace, SharedProcessor};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tricorn_core::{ChunkPolicy, Constraint, DeviceMonitor, DraftPolicy, Logprobs, SamplingParams};

/// What one turn asks for.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The whole conversation so far, in tokens; what earlier turns uploaded is not uploaded again.
    pub tokens: Vec<u32>,
    /// Most tokens to generate.
    pub max_new_tokens: usize,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// What the text must look like; see [`Grammar`](crate::constraint::Grammar).
    pub constraint: Option<Box<dyn Constraint>>,
    /// Log-probabilities of each token, with those of so many of the likeliest.
    pub logprobs: Option<usize>,
    /// What is drafted and how rounds are sent; no drafts where the device has no drafter.
    pub draft: DraftPolicy,
    /// How the prompt is cut.
    pub chunk: ChunkPolicy,
}

/// What a turn reports while it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A confirmed token.
    Token {
        /// Its id.
        id: u32,
        /// Whether the device had drafted it.
        drafted: bool,
        /// What the model held of its position, where [`Turn::logprobs`] asks for it.
        logprobs: Option<Logprobs>,
    },
    /// An answer was judged; its tokens follow.
    Round(RoundTrace),
    /// The session with the cloud was lost; what it held is being replayed.
    Reconnecting,
}

/// What a conversation is opened with beside its link.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The device's measurements, where its conversations share them; a conversation without one
    /// begins with its own.
    pub monitor: Option<SharedMonitor>,
    /// The device to emulate; none computes as fast as it can.
    pub pace: Option<DevicePace>,
    /// The device's processor, where its conversations take turns on it; a conversation with one of
    /// its own never waits.
    pub processor: SharedProcessor,
}

/// The measurements of one device, shared by its conversations.
#[derive(Clone, Debug, Default)]
pub struct SharedMonitor(Arc<Mutex<DeviceMonitor>>);

impl SharedMonitor {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The measurements, for as long as the guard lives; conversations that measure wait for it.
    pub fn lock(&self) -> MutexGuard<'_, DeviceMonitor> {
        // A panic elsewhere leaves at worst a measurement half taken in.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
