//! Slot: a thread with a conversation, which serves one request at a time.

use super::{
    cloud::{guarded::Guarded, metered::Metered},
    config::Offline,
    log::SlotLog,
    output::{outlet::Outlet, patience::Patience, text::GeneratedText, update::Finished},
    queue::{
        held::Held,
        job::{Job, LastWord, Outcome},
        roster::Next,
    },
    resources::Resources,
    work::Work,
};
use crate::{
    cancel::CancelReason,
    constraint::Grammar,
    conversation::Conversation,
    error::DeviceError,
    transport::Transport,
    turn::{Control, Turn},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use tokio::runtime::Runtime;

/// Serves requests until the engine closes; `runtime` is the slot's clock.
pub(super) fn serve<T: Transport>(
    index: usize,
    resources: &Resources,
    transport: &dyn Fn() -> T,
    runtime: &Runtime,
) {
    let mut slot = Slot { index, resources, transport, runtime, conversation: None };
    loop {
        match resources.roster.next(index) {
            Next::Job(job, held) => {
                // A fault in one request must not take the slot from all others.
                let worked = catch_unwind(AssertUnwindSafe(|| slot.work(*job, held))).ok();
                if worked.is_none() {
                    tracing::error!(slot = index, "a fault of this program ended a request");
                    slot.conversation = None;
                }
                let (held, last_word) = worked.unzip();
                resources.roster.done(index, held.unwrap_or_default(), last_word);
            }
            Next::Forget => {
                tracing::debug!(slot = index, "idle conversation given up");
                slot.conversation = None;
            }
            Next::Close => return,
        }
    }
}

struct Slot<'e, T> {
    index: usize,
    resources: &'e Resources,
    transport: &'e dyn Fn() -> T,
    runtime: &'e Runtime,
    conversation: Option<Conversation<'e, Metered<Guarded<T>>>>,
}

impl<T: Transport> Slot<'_, T> {
    /// Does a request. Gives the tokens that the slot holds then, and the client's last word.
    fn work(&mut self, job: Job, held: Held) -> (Held, LastWord) {
        let Job { mut request, updates, cancel, submitted, ending, .. } = job;
        let log = SlotLog::taken(self.index, request.prompt.len(), submitted);
        let end = |held, tokens, outcome| {
            log.ended(tokens, &outcome);
            (held, ending.end(outcome))
        };
        let Resources { parts, prompter, config, .. } = self.resources;
        if let Some(reason) = cancel.reason() {
            return end(held, 0, Outcome::Interrupted(reason));
        }
        let reply = match prompter.reply(&request.prompt, &parts.stop_tokens) {
            Ok(reply) => reply,
            Err(error) => return end(held, 0, Outcome::Failed(error.into())),
        };
        let text = GeneratedText::new(reply, std::mem::take(&mut request.stop));
        let control = Control { cancel: cancel.clone(), samples: request.trace };
        let outlet = Outlet {
            updates,
            cancel: &cancel,
            patience: Patience::new(config.client_patience),
            runtime: self.runtime,
        };
        let mut work = Work {
            resources: self.resources,
            request,
            generated: Vec::new(),
            offline: false,
            cached_tokens: 0,
            submitted,
            control,
            text,
            outlet,
        };
        let outcome = match (self.answer(&mut work), cancel.reason()) {
            (Ok(Some(finished)), _) => Outcome::Done(Box::new(finished)),
            (Ok(None), reason) => Outcome::Interrupted(reason.unwrap_or(CancelReason::Client)),
            (Err(_), Some(reason)) => Outcome::Interrupted(reason),
            (Err(error), None) => Outcome::Failed(error),
        };
        let held = self.held_after(&work.request.prompt, held);
        end(held, work.generated.len(), outcome)
    }

    /// Generates with the cloud, or with the drafter alone where the cloud is out of reach and that
    /// is asked for; `None` when the turn was cancelled.
    fn answer(&mut self, work: &mut Work<'_>) -> Result<Option<Finished>, DeviceError> {
        let mut outcome = self.generate(work);
        if let Err(DeviceError::Transport(error)) = &outcome {
            self.resources.breaker.failed(error);
            if error.is_out_of_reach()
                && self.resources.config.offline == Offline::Draft
                && work.control.cancel.reason().is_none()
            {
                let crossed =
                    self.conversation.as_mut().map(Conversation::take_crossed).unwrap_or_default();
                outcome = work.go_offline(crossed).unwrap_or(outcome);
            }
        }
        if work.offline {
            // What the drafter wrote alone is in no conversation.
            self.conversation = None;
        }
        outcome
    }

    /// The slot's tokens after a request with this prompt; `before` are those it held.
    fn held_after(&self, prompt: &[u32], before: Held) -> Held {
        match &self.conversation {
            None => Held::default(),
            Some(conversation) if conversation.tokens().starts_with(prompt) => {
                before.after(prompt, conversation.tokens())
            }
            // The turn did not start.
            Some(_) => before,
        }
    }

    /// Generates with the cloud; `None` when the turn was cancelled.
    fn generate(&mut self, work: &mut Work<'_>) -> Result<Option<Finished>, DeviceError> {
        let conversation = match &mut self.conversation {
            Some(conversation) => conversation,
            none => {
                let Resources { breaker, totals, roster, .. } = self.resources;
                let guarded = Guarded {
                    transport: (self.transport)(),
                    breaker: Arc::clone(breaker),
                    roster: Arc::clone(roster),
                };
                let mut transport = Metered::new(guarded, Arc::clone(totals));
                transport.interrupt_by(&work.control.cancel);
                none.insert(Conversation::open_with(
                    &self.resources.parts,
                    transport,
                    self.resources.config.options.clone(),
                )?)
            }
        };
        let turn = Turn {
            tokens: work.request.prompt.clone(),
            max_new_tokens: work.request.max_new_tokens,
            sampling: work.request.sampling.clone(),
            constraint: work.request.grammar.as_ref().map(Grammar::constraint),
            logprobs: work.request.logprobs,
            draft: work.request.draft,
            chunk: work.request.chunk,
        };
        let control = work.control.clone();
        work.run(|on_event| conversation.turn_under(turn, &control, on_event))
    }
}
