//! How busy the cloud is, counted as it happens.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tricorn_wire::Load;

use crate::{downstream::StageLost, monitor::Monitor};

#[derive(Debug, Default)]
pub(crate) struct LoadGauge {
    max_sessions: usize,
    sessions: AtomicUsize,
    queued_rows: AtomicUsize,
    monitor: Mutex<Monitor>,
    lost: Mutex<Option<StageLost>>,
}

/// One session's place; dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Slot(Arc<LoadGauge>);

impl LoadGauge {
    pub(crate) fn new(max_sessions: usize) -> Arc<Self> {
        Arc::new(Self { max_sessions, ..Self::default() })
    }

    pub(crate) fn max_sessions(&self) -> usize {
        self.max_sessions
    }

    /// A place for one more session; `None` when all are taken.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Slot> {
        self.sessions
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                (taken < self.max_sessions).then_some(taken + 1)
            })
            .ok()
            .map(|_| Slot(Arc::clone(self)))
    }

    pub(crate) fn queued(&self, rows: usize) {
        self.queued_rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn unqueued(&self, rows: usize) {
        self.queued_rows.fetch_sub(rows, Ordering::Relaxed);
    }

    /// What batches took. Held for an instant only: sessions' tasks ask too.
    pub(crate) fn monitor(&self) -> MutexGuard<'_, Monitor> {
        // Plain numbers: a panic leaves nothing half done that matters.
        self.monitor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why new sessions cannot be served for now.
    pub(crate) fn stage_lost(&self) -> Option<StageLost> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_stage_lost(&self, lost: Option<StageLost>) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = lost;
    }

    /// The load now, with the batch delays or, where a message should stay small, without.
    pub(crate) fn snapshot(&self, with_delay: bool) -> Load {
        let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        Load {
            sessions: count(self.sessions.load(Ordering::Relaxed)),
            max_sessions: count(self.max_sessions),
            queued_rows: count(self.queued_rows.load(Ordering::Relaxed)),
            pace: self.monitor().pace(with_delay, Instant::now()),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_given_back() {
        let gauge = LoadGauge::new(2);
        let (first, second) = (gauge.enter().unwrap(), gauge.enter().unwrap());
        assert!(gauge.enter().is_none());
        drop(first);
        assert_eq!(gauge.snapshot(false).sessions, 1);
        assert!(gauge.enter().is_some());
        drop(second);
        assert_eq!(gauge.snapshot(false).sessions, 0);
    }
}
