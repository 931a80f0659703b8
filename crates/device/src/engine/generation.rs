//! Generation: a client's handle to a request that is answered.

use super::{output::update::Update, queue::roster::Roster};
use crate::cancel::{Cancel, CancelReason};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

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
