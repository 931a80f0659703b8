//! Log lines of an engine: a request's slot is taken, and it ends. They tell counts and times,
//! never text or tokens.

use super::{
    output::update::{Finish, Finished},
    queue::job::Outcome,
};
use std::time::Instant;

/// The log of one request in a slot.
#[derive(Debug)]
pub(super) struct SlotLog {
    slot: usize,
    prompt_tokens: usize,
    taken: Instant,
}

impl SlotLog {
    /// A slot took a request that was submitted then.
    pub(super) fn taken(slot: usize, prompt_tokens: usize, submitted: Instant) -> Self {
        let taken = Instant::now();
        let waited_ms = taken.saturating_duration_since(submitted).as_secs_f64() * 1e3;
        tracing::info!(slot, prompt_tokens, waited_ms, "slot taken");
        Self { slot, prompt_tokens, taken }
    }

    /// The request ended, with so many tokens generated.
    pub(super) fn ended(self, tokens: usize, outcome: &Outcome) {
        let Self { slot, prompt_tokens, taken } = self;
        let ms = taken.elapsed().as_secs_f64() * 1e3;
        match outcome {
            Outcome::Done(finished) => {
                let Finished { cached_tokens, offline, .. } = **finished;
                let finish = match finished.finish {
                    Finish::Stop => "stop",
                    Finish::StopText(_) => "stop text",
                    Finish::Length => "length",
                };
                tracing::info!(
                    slot,
                    prompt_tokens,
                    cached_tokens,
                    tokens,
                    ms,
                    finish,
                    offline,
                    "slot ended"
                );
            }
            Outcome::Interrupted(reason) => {
                let finish = format!("interrupted: {reason:?}");
                tracing::info!(slot, prompt_tokens, tokens, ms, finish, "slot ended");
            }
            Outcome::Failed(error) => {
                let error = error.without_text();
                tracing::warn!(slot, prompt_tokens, tokens, ms, error, "request failed");
            }
        }
    }
}
