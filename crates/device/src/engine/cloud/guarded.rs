//! Guarded transport: asks the circuit breaker before it connects.

use super::breaker::{Breaker, Permit};
use crate::{
    engine::queue::roster::Roster,
    transport::{Connected, Transport, TransportError, TransportWrapper},
};
use std::sync::Arc;

/// A transport that asks the breaker before it connects.
#[derive(Debug)]
pub(in crate::engine) struct Guarded<T> {
    pub(in crate::engine) transport: T,
    pub(in crate::engine) breaker: Arc<Breaker>,
    pub(in crate::engine) roster: Arc<Roster>,
}

impl<T: Transport> TransportWrapper for Guarded<T> {
    type Inner = T;

    fn inner(&self) -> &T {
        &self.transport
    }

    fn inner_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    fn probe(&mut self) -> Result<Connected, TransportError> {
        self.breaker.permit()?;
        let result = self.transport.probe();
        self.breaker.tried(&result);
        result
    }

    fn connect(&mut self) -> Result<Connected, TransportError> {
        let result = match self.breaker.permit()? {
            // Conversations that nobody goes on with take places in the cloud, too: they make room
            // for one that somebody waits for.
            Permit::Connect if self.roster.holds_idle() => match self.transport.probe() {
                Err(TransportError::NoRoom(_)) => {
                    self.roster.forget_idle();
                    self.transport.connect()
                }
                Err(TransportError::Unreachable { .. }) => self.transport.connect(),
                other => other,
            },
            Permit::Connect => self.transport.connect(),
            Permit::Probe => self.transport.probe(),
        };
        self.breaker.tried(&result);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{Answer, Traffic};
    use std::time::Duration;
    use tricorn_core::{AppendHeader, SessionLimits};

    /// Counts how it is tried, and answers as told.
    #[derive(Debug, Default)]
    struct Counting {
        connects: usize,
        probes: usize,
        answers: bool,
    }

    impl Counting {
        fn answer(&self) -> Result<Connected, TransportError> {
            let limits = SessionLimits { context: 8, max_append_rows: 8, max_queued_rows: 8 };
            let error = TransportError::Unreachable {
                url: String::new(),
                attempts: 1,
                waited: Duration::ZERO,
                reason: "gone".to_owned(),
            };
            if self.answers {
                Ok(Connected { limits, round_trip: None, throughput: None })
            } else {
                Err(error)
            }
        }
    }

    impl Transport for Counting {
        fn connect(&mut self) -> Result<Connected, TransportError> {
            self.connects += 1;
            self.answer()
        }

        fn probe(&mut self) -> Result<Connected, TransportError> {
            self.probes += 1;
            self.answer()
        }

        fn send(&mut self, _: AppendHeader, _: &[f32]) -> Result<(), TransportError> {
            Ok(())
        }

        fn receive(&mut self) -> Result<Answer, TransportError> {
            Err(TransportError::Cancelled)
        }

        fn try_receive(&mut self) -> Result<Option<Answer>, TransportError> {
            Ok(None)
        }

        fn traffic(&self) -> Traffic {
            Traffic::default()
        }
    }

    fn guarded(rest: Duration) -> Guarded<Counting> {
        let roster = Arc::new(Roster::new(1, 1, Duration::ZERO));
        Guarded { transport: Counting::default(), breaker: Arc::new(Breaker::new(rest)), roster }
    }

    #[test]
    fn a_cloud_out_of_reach_is_not_asked_again_at_once() {
        let mut cloud = guarded(Duration::from_secs(3600));
        assert!(matches!(Transport::connect(&mut cloud), Err(TransportError::Unreachable { .. })));
        for _ in 0..3 {
            let error = Transport::connect(&mut cloud).err();
            let Some(TransportError::Resting { reason, retry_after }) = error else {
                panic!("{error:?}")
            };
            assert_eq!(reason, "gone");
            assert!(retry_after > Duration::from_secs(3000));
        }
        assert_eq!((cloud.transport.connects, cloud.transport.probes), (1, 0));
    }

    #[test]
    fn after_its_rest_it_is_tried_once_and_trusted_again_when_it_answers() {
        let mut cloud = guarded(Duration::ZERO);
        assert!(Transport::connect(&mut cloud).is_err());
        assert!(matches!(Transport::connect(&mut cloud), Err(TransportError::Unreachable { .. })));
        cloud.transport.answers = true;
        assert!(Transport::connect(&mut cloud).is_ok());
        assert_eq!((cloud.transport.connects, cloud.transport.probes), (1, 2));
        assert!(Transport::connect(&mut cloud).is_ok());
        assert_eq!((cloud.transport.connects, cloud.transport.probes), (2, 2));
    }
}
