//! A cloud that is out of reach is left alone for a while.

use super::roster::Roster;
use crate::{
    Cancel, Link, LinkError,
    link::{Answer, Connected, Traffic},
};
use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tricorn_core::AppendHeader;

/// Remembers that the cloud is out of reach, so that not every request waits to find out (a circuit
/// breaker).
#[derive(Debug)]
pub(super) struct Breaker {
    rest: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Nothing is known against the cloud.
    Closed,
    /// It was out of reach.
    Open { until: Instant, reason: String },
    /// It was, and one slot finds out whether it still is.
    Probing { reason: String },
}

/// How a cloud may be connected to.
enum Permit {
    /// With all patience.
    Connect,
    /// With one try.
    Probe,
}

impl Breaker {
    pub(super) fn new(rest: Duration) -> Self {
        Self { rest, state: Mutex::new(State::Closed) }
    }

    /// The cloud was found out of reach.
    pub(super) fn failed(&self, error: &LinkError) {
        let (LinkError::Unreachable { reason, .. } | LinkError::KeepsFailing { reason, .. }) =
            error
        else {
            return;
        };
        *self.lock() = State::Open { until: Instant::now() + self.rest, reason: reason.clone() };
    }

    fn permit(&self) -> Result<Permit, LinkError> {
        let mut state = self.lock();
        let (reason, left) = match &mut *state {
            State::Closed => return Ok(Permit::Connect),
            State::Open { until, reason } => {
                (reason, until.saturating_duration_since(Instant::now()))
            }
            State::Probing { reason } => (reason, self.rest),
        };
        let reason = mem::take(reason);
        if left.is_zero() {
            *state = State::Probing { reason };
            return Ok(Permit::Probe);
        }
        let resting = LinkError::Resting { reason: reason.clone(), retry_after: left };
        match &mut *state {
            State::Closed => {}
            State::Open { reason: kept, .. } | State::Probing { reason: kept } => *kept = reason,
        }
        Err(resting)
    }

    /// What a try came to.
    fn tried(&self, result: &Result<Connected, LinkError>) {
        match result {
            Err(error @ (LinkError::Unreachable { .. } | LinkError::KeepsFailing { .. })) => {
                self.failed(error)
            }
            // Nothing was found out.
            Err(LinkError::Cancelled) => {
                let mut state = self.lock();
                if let State::Probing { reason } = &mut *state {
                    *state = State::Open { until: Instant::now(), reason: mem::take(reason) };
                }
            }
            _ => *self.lock() = State::Closed,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is written in one step, so a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A link that asks the breaker before it connects.
#[derive(Debug)]
pub(super) struct Guarded<L> {
    pub(super) link: L,
    pub(super) breaker: Arc<Breaker>,
    pub(super) roster: Arc<Roster>,
}

impl<L: Link> Link for Guarded<L> {
    fn connect(&mut self) -> Result<Connected, LinkError> {
        let result = match self.breaker.permit()? {
            // Conversations that nobody goes on with take places in the cloud, too: they make room
            // for one that somebody waits for.
            Permit::Connect if self.roster.holds_idle() => match self.link.probe() {
                Err(LinkError::NoRoom(_)) => {
                    self.roster.forget_idle();
                    self.link.connect()
                }
                Err(LinkError::Unreachable { .. }) => self.link.connect(),
                other => other,
            },
            Permit::Connect => self.link.connect(),
            Permit::Probe => self.link.probe(),
        };
        self.breaker.tried(&result);
        result
    }

    fn send(&mut self, header: AppendHeader, rows: &[f32]) -> Result<(), LinkError> {
        self.link.send(header, rows)
    }

    fn receive(&mut self) -> Result<Answer, LinkError> {
        self.link.receive()
    }

    fn try_receive(&mut self) -> Result<Option<Answer>, LinkError> {
        self.link.try_receive()
    }

    fn interrupt_by(&mut self, cancel: &Cancel) {
        self.link.interrupt_by(cancel);
    }

    fn deadline(&self) -> Duration {
        self.link.deadline()
    }

    fn traffic(&self) -> Traffic {
        self.link.traffic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tricorn_core::SessionLimits;

    /// Counts how it is tried, and answers as told.
    #[derive(Debug, Default)]
    struct Counting {
        connects: usize,
        probes: usize,
        answers: bool,
    }

    impl Counting {
        fn answer(&self) -> Result<Connected, LinkError> {
            let limits = SessionLimits { context: 8, max_append_rows: 8, max_queued_rows: 8 };
            let error = LinkError::Unreachable {
                url: String::new(),
                attempts: 1,
                waited: Duration::ZERO,
                reason: "gone".to_owned(),
            };
            if self.answers {
                Ok(Connected { limits, round_trip: None, pace: None })
            } else {
                Err(error)
            }
        }
    }

    impl Link for Counting {
        fn connect(&mut self) -> Result<Connected, LinkError> {
            self.connects += 1;
            self.answer()
        }

        fn probe(&mut self) -> Result<Connected, LinkError> {
            self.probes += 1;
            self.answer()
        }

        fn send(&mut self, _: AppendHeader, _: &[f32]) -> Result<(), LinkError> {
            Ok(())
        }

        fn receive(&mut self) -> Result<Answer, LinkError> {
            Err(LinkError::Cancelled)
        }

        fn try_receive(&mut self) -> Result<Option<Answer>, LinkError> {
            Ok(None)
        }

        fn traffic(&self) -> Traffic {
            Traffic::default()
        }
    }

    fn guarded(rest: Duration) -> Guarded<Counting> {
        let roster = Arc::new(Roster::new(1, 1, Duration::ZERO));
        Guarded { link: Counting::default(), breaker: Arc::new(Breaker::new(rest)), roster }
    }

    #[test]
    fn a_cloud_out_of_reach_is_not_asked_again_at_once() {
        let mut link = guarded(Duration::from_secs(3600));
        assert!(matches!(link.connect(), Err(LinkError::Unreachable { .. })));
        for _ in 0..3 {
            let error = link.connect().err();
            let Some(LinkError::Resting { reason, retry_after }) = error else {
                panic!("{error:?}")
            };
            assert_eq!(reason, "gone");
            assert!(retry_after > Duration::from_secs(3000));
        }
        assert_eq!((link.link.connects, link.link.probes), (1, 0));
    }

    #[test]
    fn after_its_rest_it_is_tried_once_and_trusted_again_when_it_answers() {
        let mut link = guarded(Duration::ZERO);
        assert!(link.connect().is_err());
        assert!(matches!(link.connect(), Err(LinkError::Unreachable { .. })));
        link.link.answers = true;
        assert!(link.connect().is_ok());
        assert_eq!((link.link.connects, link.link.probes), (1, 2));
        assert!(link.connect().is_ok());
        assert_eq!((link.link.connects, link.link.probes), (2, 2));
    }

    #[test]
    fn only_one_slot_finds_out() {
        let breaker = Breaker::new(Duration::from_secs(1));
        *breaker.lock() = State::Open { until: Instant::now(), reason: "gone".to_owned() };
        assert!(matches!(breaker.permit(), Ok(Permit::Probe)));
        assert!(matches!(breaker.permit(), Err(LinkError::Resting { .. })));
        breaker.tried(&Err(LinkError::Cancelled));
        assert!(matches!(breaker.permit(), Ok(Permit::Probe)));
    }
}
