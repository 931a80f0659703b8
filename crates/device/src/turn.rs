//! Turn: one user message and its answer, as it is asked for, controlled and reported.

mod control;
mod report;
mod trace;

pub use control::Control;
pub(crate) use report::Crossed;
pub use report::TurnReport;
pub(crate) use trace::Trace;
pub use trace::{Direction, RoundTrace, TraceEvent, WireSample};

use crate::{monitor::SharedMonitor, processor::Processor, throttle::DeviceThrottle};
use tricorn_core::{ChunkPolicy, Constraint, DraftPolicy, Logprobs, SamplingParams};

/// The request of one turn.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The whole conversation so far, in tokens; what earlier turns uploaded is not uploaded again.
    pub tokens: Vec<u32>,
    /// Most tokens to generate.
    pub max_new_tokens: usize,
    /// Sampling of tokens.
    pub sampling: SamplingParams,
    /// Constraint that the text is held to; see [`Grammar`](crate::constraint::Grammar).
    pub constraint: Option<Box<dyn Constraint>>,
    /// Log-probabilities of each token, with those of so many of the likeliest.
    pub logprobs: Option<usize>,
    /// Drafting and sending of rounds; no drafts where the device has no drafter.
    pub draft: DraftPolicy,
    /// Chunks of the prompt.
    pub chunk: ChunkPolicy,
}

/// An event of a turn, told while it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A confirmed token.
    Token {
        /// Its id.
        id: u32,
        /// Whether the device had drafted it.
        drafted: bool,
        /// The model's log-probabilities at its position, where [`Turn::logprobs`] asks for it.
        logprobs: Option<Logprobs>,
    },
    /// An answer was judged; its tokens follow.
    Round(RoundTrace),
    /// The session with the cloud was lost; what it held is being replayed.
    Reconnecting,
}

/// Options that a conversation is opened with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The device's measurements, where its conversations share them; a conversation without one
    /// begins with its own.
    pub monitor: Option<SharedMonitor>,
    /// The device to emulate; none computes as fast as it can.
    pub throttle: Option<DeviceThrottle>,
    /// The device's processor, where its conversations share it; a conversation with one of its own
    /// never waits.
    pub processor: Processor,
}
