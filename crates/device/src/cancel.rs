//! Cancellation: the end of a turn from another thread.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Ends a turn between two of its steps, and at once where it waits. Clones are handles to the
/// same.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Signal>);

/// The reason why a turn was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    /// Nobody is there any more to read it.
    Client,
    /// The client took nothing for too long.
    SlowClient,
    /// Its time is over.
    Deadline,
    /// The device shuts down.
    Shutdown,
}

#[derive(Debug, Default)]
struct Signal {
    reason: Mutex<Option<CancelReason>>,
    deadline: Option<Instant>,
    /// Wakes threads that wait without a runtime.
    woken: Condvar,
    /// Wakes those that wait in one.
    notify: Notify,
}

impl Cancel {
    /// One that ends its turn at `deadline` by itself.
    #[must_use]
    pub fn at(deadline: Option<Instant>) -> Self {
        Self(Arc::new(Signal { deadline, ..Signal::default() }))
    }

    /// Ends the turn. The first reason counts, and a deadline that has passed came first.
    pub fn cancel(&self, reason: CancelReason) {
        self.lock().get_or_insert_with(|| self.late().unwrap_or(reason));
        self.0.woken.notify_all();
        self.0.notify.notify_waiters();
    }

    /// Why the turn is over; `None` as long as it may go on.
    #[must_use]
    pub fn reason(&self) -> Option<CancelReason> {
        self.lock().or_else(|| self.late())
    }

    fn late(&self) -> Option<CancelReason> {
        self.0
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
            .then_some(CancelReason::Deadline)
    }

    /// Waits until the turn is over. With a deadline this needs a runtime with a clock.
    pub async fn cancelled(&self) {
        let notified = self.0.notify.notified();
        if self.reason().is_some() {
            return;
        }
        match self.0.deadline {
            Some(deadline) => {
                tokio::select! {
                    () = notified => {}
                    () = tokio::time::sleep_until(deadline.into()) => {}
                }
            }
            None => notified.await,
        }
    }

    /// Sleeps for `time`, or less where the turn ends before.
    pub fn sleep(&self, time: Duration) {
        let until = Instant::now() + time;
        let until = self.0.deadline.map_or(until, |deadline| deadline.min(until));
        let mut reason = self.lock();
        while reason.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            reason =
                self.0.woken.wait_timeout(reason, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<CancelReason>> {
        // The value is written in one step, so a panic elsewhere leaves it whole.
        self.0.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_counts() {
        let cancel = Cancel::default();
        assert_eq!(cancel.reason(), None);
        cancel.cancel(CancelReason::Client);
        cancel.clone().cancel(CancelReason::Shutdown);
        assert_eq!(cancel.reason(), Some(CancelReason::Client));
        let late = Cancel::at(Some(Instant::now()));
        assert_eq!(late.reason(), Some(CancelReason::Deadline));
    }

    #[test]
    fn a_deadline_that_has_passed_was_first() {
        let late = Cancel::at(Some(Instant::now()));
        late.cancel(CancelReason::Client);
        assert_eq!(late.reason(), Some(CancelReason::Deadline));
        let early = Cancel::at(Some(Instant::now() + Duration::from_secs(3600)));
        early.cancel(CancelReason::Client);
        assert_eq!(early.reason(), Some(CancelReason::Client));
    }

    #[test]
    fn whoever_sleeps_or_waits_is_woken() {
        let cancel = Cancel::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        std::thread::scope(|scope| {
            // Neither returns before a time that no test waits for, unless it is woken.
            scope.spawn(|| cancel.sleep(Duration::from_secs(3600)));
            scope.spawn(|| runtime.block_on(cancel.cancelled()));
            cancel.cancel(CancelReason::Client);
        });
        let late = Cancel::at(Some(Instant::now() + Duration::from_millis(1)));
        runtime.block_on(late.cancelled());
        late.sleep(Duration::from_secs(3600));
        assert_eq!(late.reason(), Some(CancelReason::Deadline));
    }
}
