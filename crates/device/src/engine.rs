//! Requests of many clients on one device.
//!
//! An [`Engine`] owns the device's parts and some slots. A slot is a thread with a [`Conversation`](crate::Conversation): KV caches on the
//! device and a session on a middle. A request goes to the idle slot whose tokens it shares the most of, so that the next message of a chat is
//! computed and uploaded alone; where no slot is idle it waits in a bounded queue.

mod generation;
mod roster;
mod slot;
mod text;

pub use generation::{Busy, Finish, Finished, Generation, GenerationRequest, TextToken, Update};

use crate::{Ends, Link, Options, Prompter};
use generation::Job;
use roster::Roster;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Updates that wait for a client to take them; more wait on the slot.
const UPDATES: usize = 256;

/// How much an engine takes on.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Conversations held, and requests that run at a time.
    pub slots: usize,
    /// Requests that wait for a slot; one more is refused.
    pub queue: usize,
    /// What the conversations are opened with; they share its measurements.
    pub options: Options,
}

/// The device's parts, with slots that generate.
#[derive(Debug)]
pub struct Engine {
    ends: Arc<Ends>,
    prompter: Arc<Prompter>,
    roster: Arc<Roster>,
}

impl Engine {
    /// Starts the slots' threads. `link` makes each slot's way to the middle, which is connected at its first request.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start<L, F>(ends: Arc<Ends>, prompter: Arc<Prompter>, link: F, config: &EngineConfig) -> std::io::Result<Self>
    where
        L: Link + 'static,
        F: Fn() -> L + Send + Sync + 'static,
    {
        let roster = Arc::new(Roster::new(config.slots, config.queue));
        let link = Arc::new(link);
        for slot in 0..config.slots {
            let (ends, prompter, roster, link) = (Arc::clone(&ends), Arc::clone(&prompter), Arc::clone(&roster), Arc::clone(&link));
            let options = config.options.clone();
            std::thread::Builder::new()
                .name(format!("slot-{slot}"))
                .spawn(move || slot::serve(slot, &ends, &prompter, &roster, &*link, &options))?;
        }
        Ok(Self { ends, prompter, roster })
    }

    /// The device's parts of the model.
    #[must_use]
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// The model's tokenizer and chat template.
    #[must_use]
    pub fn prompter(&self) -> &Prompter {
        &self.prompter
    }

    /// Hands a request to a slot, or to the queue. Dropping the generation cancels it.
    ///
    /// # Errors
    /// When the queue is full.
    pub fn submit(&self, request: GenerationRequest) -> Result<Generation, Busy> {
        let (updates, receiver) = mpsc::channel(UPDATES);
        self.roster.submit(Job { request, updates })?;
        Ok(Generation::new(receiver))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.roster.close();
    }
}
