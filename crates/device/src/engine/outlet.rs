//! The way of updates to a client.

use super::generation::Update;
use crate::cancel::{Cancel, CancelReason};
use std::{ops::ControlFlow, time::Duration};
use tokio::{
    runtime::Runtime,
    sync::mpsc::{self, error::TrySendError},
};

/// Hands updates to a client, and gives up one that has gone or takes nothing.
#[derive(Debug)]
pub(super) struct Outlet<'a> {
    pub(super) updates: mpsc::Sender<Update>,
    pub(super) cancel: &'a Cancel,
    pub(super) patience: Duration,
    /// A clock to wait by.
    pub(super) runtime: &'a Runtime,
}

impl Outlet<'_> {
    /// Waits while the client's buffer is full. Breaks where nobody will read what follows.
    pub(super) fn send(&self, update: Update) -> ControlFlow<()> {
        match self.updates.try_send(update) {
            Ok(()) => ControlFlow::Continue(()),
            Err(TrySendError::Closed(_)) => self.give_up(CancelReason::Client),
            Err(TrySendError::Full(update)) => {
                let sent = self.runtime.block_on(async {
                    tokio::select! {
                        sent = self.updates.send(update) => sent.map_err(|_| CancelReason::Client),
                        () = self.cancel.cancelled() => Err(CancelReason::Client),
                        () = tokio::time::sleep(self.patience) => Err(CancelReason::SlowClient),
                    }
                });
                // A turn that was cancelled keeps the reason it has.
                sent.map_or_else(|reason| self.give_up(reason), ControlFlow::Continue)
            }
        }
    }

    fn give_up(&self, reason: CancelReason) -> ControlFlow<()> {
        self.cancel.cancel(reason);
        ControlFlow::Break(())
    }
}
