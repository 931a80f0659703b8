//! Outlet: the way of updates to a client.

use super::{patience::Patience, update::Update};
use crate::cancel::{Cancel, CancelReason};
use std::{ops::ControlFlow, time::Instant};
use tokio::{
    runtime::Runtime,
    sync::mpsc::{self, error::TrySendError},
};

/// Hands updates to a client, and gives up one that has gone or does not keep up.
#[derive(Debug)]
pub(in crate::engine) struct Outlet<'a> {
    pub(in crate::engine) updates: mpsc::Sender<Update>,
    pub(in crate::engine) cancel: &'a Cancel,
    pub(in crate::engine) patience: Patience,
    /// A clock to wait by.
    pub(in crate::engine) runtime: &'a Runtime,
}

impl Outlet<'_> {
    /// Waits while the client's buffer is full. Breaks where nobody will read what follows, or the
    /// turn is over.
    pub(in crate::engine) fn send(&mut self, update: Update) -> ControlFlow<()> {
        match self.updates.try_send(update) {
            Ok(()) => {
                self.patience.taken();
                ControlFlow::Continue(())
            }
            Err(TrySendError::Closed(_)) => self.give_up(CancelReason::Client),
            Err(TrySendError::Full(update)) => self.wait(update),
        }
    }

    fn wait(&mut self, update: Update) -> ControlFlow<()> {
        let stalled = Instant::now();
        let sent = self.runtime.block_on(async {
            tokio::select! {
                // A turn that is over keeps its reason, whatever else has come up meanwhile.
                biased;
                () = self.cancel.cancelled() => Err(None),
                sent = self.updates.send(update) => sent.map_err(|_| Some(CancelReason::Client)),
                () = tokio::time::sleep(self.patience.left()) => {
                    Err(Some(CancelReason::SlowClient))
                }
            }
        });
        match sent {
            Ok(()) => {
                self.patience.waited(stalled.elapsed());
                self.patience.taken();
                ControlFlow::Continue(())
            }
            Err(Some(reason)) => self.give_up(reason),
            Err(None) => ControlFlow::Break(()),
        }
    }

    fn give_up(&self, reason: CancelReason) -> ControlFlow<()> {
        self.cancel.cancel(reason);
        ControlFlow::Break(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// The end of a turn whose client takes nothing, with one update in a buffer of one.
    fn stalled(cancel: &Cancel, patience: Duration) -> Option<CancelReason> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (updates, _client) = mpsc::channel(1);
        let mut outlet =
            Outlet { updates, cancel, patience: Patience::new(patience), runtime: &runtime };
        assert!(outlet.send(Update::Queued).is_continue());
        assert!(outlet.send(Update::Queued).is_break());
        cancel.reason()
    }

    #[test]
    fn a_client_that_takes_nothing_is_given_up() {
        assert_eq!(
            stalled(&Cancel::default(), Duration::from_millis(1)),
            Some(CancelReason::SlowClient)
        );
    }

    #[test]
    fn a_deadline_that_passes_while_a_client_takes_nothing_is_the_reason() {
        let cancel = Cancel::at(Some(Instant::now() + Duration::from_millis(5)));
        assert_eq!(stalled(&cancel, Duration::from_secs(3600)), Some(CancelReason::Deadline));
    }

    #[test]
    fn a_client_that_has_gone_is_not_waited_for() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (cancel, (updates, client)) = (Cancel::default(), mpsc::channel(1));
        drop(client);
        let mut outlet = Outlet {
            updates,
            cancel: &cancel,
            patience: Patience::new(Duration::from_secs(3600)),
            runtime: &runtime,
        };
        assert!(outlet.send(Update::Queued).is_break());
        assert_eq!(cancel.reason(), Some(CancelReason::Client));
    }
}
