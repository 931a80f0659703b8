//! Engine: requests of many clients on one device.
//!
//! An [`Engine`] owns the device's parts and some slots. A slot is a thread with a
//! [`Conversation`](crate::Conversation): KV caches on the device and a session on a middle. A
//! request goes to the idle slot whose conversation it goes on with, so that the next message of a
//! chat is computed and uploaded alone; where no slot is idle it waits in a bounded queue. Slots
//! share the device's processor step by step.

mod cloud;
mod config;
mod figures;
mod generation;
mod group;
mod log;
mod output;
mod queue;
mod request;
mod resources;
mod slot;
mod work;

pub use config::{EngineConfig, Offline};
pub use figures::{Figures, Histogram};
pub use generation::Generation;
pub use group::Group;
pub use output::update::{Finish, Finished, Refused, TextToken, Update};
pub use request::GenerationRequest;

use crate::{cancel::Cancel, parts::DeviceParts, prompt::Prompter, transport::Transport};
use cloud::breaker::Breaker;
use queue::{
    job::{Ending, Job},
    roster::Roster,
};
use resources::Resources;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// Updates that wait for a client to take them; more wait on the slot.
const UPDATES: usize = 256;
/// Time for slots to end once they are told to: a step of the longest kind.
const LAST_STEP: Duration = Duration::from_secs(10);

/// The device's parts, with slots that generate. Dropping it ends every request, and each slot's
/// thread after the step it is in.
#[derive(Debug)]
pub struct Engine {
    resources: Arc<Resources>,
}

impl Engine {
    /// Starts the slots' threads. `transport` makes each slot's way to the middle, which is
    /// connected at its first request.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start<T, F>(
        parts: Arc<DeviceParts>,
        prompter: Arc<Prompter>,
        transport: F,
        config: EngineConfig,
    ) -> std::io::Result<Self>
    where
        T: Transport + 'static,
        F: Fn() -> T + Send + Sync + 'static,
    {
        let slots = config.slots.max(1);
        let roster = Arc::new(Roster::new(slots, config.queue, config.idle));
        let resources = Arc::new(Resources {
            parts,
            prompter,
            roster,
            totals: Arc::default(),
            breaker: Arc::new(Breaker::new(config.rest)),
            config,
        });
        // Slots that were started before one that cannot be are told to end by this.
        let engine = Self { resources: Arc::clone(&resources) };
        let transport = Arc::new(transport);
        for slot in 0..slots {
            let (resources, transport) = (Arc::clone(&resources), Arc::clone(&transport));
            let clock = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            std::thread::Builder::new()
                .name(format!("slot-{slot}"))
                .spawn(move || slot::serve(slot, &resources, &*transport, &clock))?;
        }
        Ok(engine)
    }

    /// The device's parts of the model.
    #[must_use]
    pub fn parts(&self) -> &DeviceParts {
        &self.resources.parts
    }

    /// The model's tokenizer and chat template.
    #[must_use]
    pub fn prompter(&self) -> &Prompter {
        &self.resources.prompter
    }

    /// Hands a request to a slot, or to the queue. Dropping the generation cancels it.
    ///
    /// # Errors
    /// When the queue is full, or the engine shuts down.
    pub fn submit(&self, request: GenerationRequest) -> Result<Generation, Refused> {
        let Resources { roster, totals, config, .. } = &*self.resources;
        let (updates, receiver) = mpsc::channel(UPDATES);
        let (last, end) = oneshot::channel();
        let submitted = Instant::now();
        let cancel =
            Cancel::at(request.deadline.and_then(|deadline| submitted.checked_add(deadline)));
        let ending =
            Ending::new(last, Arc::clone(totals), request.deadline, config.client_patience);
        let group = request.group.unwrap_or_else(Group::unique);
        roster
            .submit(Job { request, updates, cancel: cancel.clone(), group, submitted, ending })
            .map_err(|(refused, job)| {
            job.ending.refused();
            refused
        })?;
        Ok(Generation::new(receiver, end, cancel, Arc::clone(roster)))
    }

    /// Counters so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let (running, waiting, conversations) = self.resources.roster.counts();
        Figures {
            running: running as u64,
            waiting: waiting as u64,
            conversations: conversations as u64,
            kv_bytes: self.resources.parts.pool.used_bytes() as u64,
            ..self.resources.totals.get()
        }
    }

    /// Takes no more requests, lets those under way end within `drain`, and ends the rest.
    pub async fn shutdown(&self, drain: Duration) {
        let roster = &self.resources.roster;
        roster.drain();
        let drained = tokio::time::timeout(drain, roster.drained()).await;
        roster.close();
        if drained.is_err() {
            // One that computes longer than that is not waited for.
            let _ = tokio::time::timeout(LAST_STEP, roster.drained()).await;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.resources.roster.close();
    }
}
