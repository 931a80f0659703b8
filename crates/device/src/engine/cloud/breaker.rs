//! Circuit breaker: leaves a cloud that is out of reach alone for a while.

use crate::transport::{Connected, TransportError};
use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Remembers that the cloud is out of reach, so that not every request waits to find out (a circuit
/// breaker).
#[derive(Debug)]
pub(in crate::engine) struct Breaker {
    rest: Duration,
    circuit: Mutex<Circuit>,
}

#[derive(Debug)]
enum Circuit {
    /// Nothing is known against the cloud.
    Closed,
    /// It was out of reach.
    Open { until: Instant, reason: String },
    /// It was, and one slot finds out whether it still is.
    Probing { reason: String },
}

/// The way in which a cloud may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Permit {
    /// With all patience.
    Connect,
    /// With one try.
    Probe,
}

impl Breaker {
    pub(in crate::engine) fn new(rest: Duration) -> Self {
        Self { rest, circuit: Mutex::new(Circuit::Closed) }
    }

    /// The cloud was found out of reach.
    pub(in crate::engine) fn failed(&self, error: &TransportError) {
        let (TransportError::Unreachable { reason, .. }
        | TransportError::KeepsFailing { reason, .. }) = error
        else {
            return;
        };
        *self.lock() = Circuit::Open { until: Instant::now() + self.rest, reason: reason.clone() };
    }

    /// Whether the cloud may be connected to now.
    pub(in crate::engine) fn permit(&self) -> Result<Permit, TransportError> {
        let mut circuit = self.lock();
        let (reason, left) = match &mut *circuit {
            Circuit::Closed => return Ok(Permit::Connect),
            Circuit::Open { until, reason } => {
                (reason, until.saturating_duration_since(Instant::now()))
            }
            Circuit::Probing { reason } => (reason, self.rest),
        };
        let reason = mem::take(reason);
        if left.is_zero() {
            *circuit = Circuit::Probing { reason };
            return Ok(Permit::Probe);
        }
        let resting = TransportError::Resting { reason: reason.clone(), retry_after: left };
        match &mut *circuit {
            Circuit::Closed => {}
            Circuit::Open { reason: kept, .. } | Circuit::Probing { reason: kept } => {
                *kept = reason
            }
        }
        Err(resting)
    }

    /// A try came to this.
    pub(in crate::engine) fn tried(&self, result: &Result<Connected, TransportError>) {
        match result {
            Err(
                error @ (TransportError::Unreachable { .. } | TransportError::KeepsFailing { .. }),
            ) => self.failed(error),
            // Nothing was found out.
            Err(TransportError::Cancelled) => {
                let mut circuit = self.lock();
                if let Circuit::Probing { reason } = &mut *circuit {
                    *circuit = Circuit::Open { until: Instant::now(), reason: mem::take(reason) };
                }
            }
            _ => *self.lock() = Circuit::Closed,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Circuit> {
        // The circuit is written in one step, so a panic elsewhere leaves it whole.
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_slot_finds_out() {
        let breaker = Breaker::new(Duration::from_secs(1));
        *breaker.lock() = Circuit::Open { until: Instant::now(), reason: "gone".to_owned() };
        assert!(matches!(breaker.permit(), Ok(Permit::Probe)));
        assert!(matches!(breaker.permit(), Err(TransportError::Resting { .. })));
        breaker.tried(&Err(TransportError::Cancelled));
        assert!(matches!(breaker.permit(), Ok(Permit::Probe)));
    }
}
