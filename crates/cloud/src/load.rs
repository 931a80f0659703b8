//! Load of a cloud, counted as it happens and read by every task.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tricorn_core::{Figures, MonitorReport};
use tricorn_wire::Load;

use crate::{clock::Clock, downstream::StageLost};

#[derive(Debug)]
pub(crate) struct LoadGauge {
    clock: Clock,
    max_sessions: usize,
    sessions: AtomicUsize,
    queued_rows: AtomicUsize,
    /// What the scheduler said last.
    report: Mutex<MonitorReport>,
    lost: Mutex<Option<StageLost>>,
}

/// Leave for one session to be here; dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct SessionPermit(Arc<LoadGauge>);

impl LoadGauge {
    pub(crate) fn new(max_sessions: usize, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            max_sessions,
            sessions: AtomicUsize::new(0),
            queued_rows: AtomicUsize::new(0),
            report: Mutex::default(),
            lost: Mutex::default(),
        })
    }

    pub(crate) fn max_sessions(&self) -> usize {
        self.max_sessions
    }

    /// A permit for one more session; `None` when all are taken.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<SessionPermit> {
        self.sessions
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                (taken < self.max_sessions).then_some(taken + 1)
            })
            .ok()
            .map(|_| SessionPermit(Arc::clone(self)))
    }

    pub(crate) fn queued(&self, rows: usize) {
        self.queued_rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn unqueued(&self, rows: usize) {
        self.queued_rows.fetch_sub(rows, Ordering::Relaxed);
    }

    /// The scheduler's newest report is this.
    pub(crate) fn publish(&self, report: MonitorReport) {
        *self.report() = report;
    }

    /// What was computed so far.
    pub(crate) fn figures(&self) -> Figures {
        self.report().figures()
    }

    /// Held for an instant only.
    fn report(&self) -> MutexGuard<'_, MonitorReport> {
        // Only ever replaced as a whole.
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
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
            throughput: self.report().throughput(with_delay, self.clock.now()),
        }
    }
}

impl Drop for SessionPermit {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_given_back() {
        let gauge = LoadGauge::new(2, Clock::start());
        let (first, second) = (gauge.enter().unwrap(), gauge.enter().unwrap());
        assert!(gauge.enter().is_none());
        drop(first);
        assert_eq!(gauge.snapshot(false).sessions, 1);
        assert!(gauge.enter().is_some());
        drop(second);
        assert_eq!(gauge.snapshot(false).sessions, 0);
    }
}
