//! Job: a request on its way through the engine, and its one end.

use crate::{
    cancel::{Cancel, CancelReason},
    engine::{
        figures::Totals,
        group::Group,
        output::update::{Finished, Update},
        request::GenerationRequest,
    },
    error::DeviceError,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// A request with its way back to whoever asked.
#[derive(Debug)]
pub(in crate::engine) struct Job {
    pub(in crate::engine) request: GenerationRequest,
    pub(in crate::engine) updates: mpsc::Sender<Update>,
    pub(in crate::engine) cancel: Cancel,
    pub(in crate::engine) group: Group,
    pub(in crate::engine) submitted: Instant,
    pub(in crate::engine) ending: Ending,
}

/// The end that a request came to.
#[derive(Debug)]
pub(in crate::engine) enum Outcome {
    Done(Box<Finished>),
    Failed(DeviceError),
    Interrupted(CancelReason),
}

/// The end of a request, which comes exactly once: whoever drops this without one reports a fault.
#[derive(Debug)]
pub(in crate::engine) struct Ending {
    last: Option<oneshot::Sender<Update>>,
    totals: Arc<Totals>,
    deadline: Duration,
    patience: Duration,
}

/// The last that a client is told. [`Roster::done`](super::roster::Roster::done) sends that of a
/// request which had a slot.
#[derive(Debug)]
#[must_use]
pub(in crate::engine) struct LastWord(Option<(oneshot::Sender<Update>, Update)>);

impl Ending {
    pub(in crate::engine) fn new(
        last: oneshot::Sender<Update>,
        totals: Arc<Totals>,
        deadline: Option<Duration>,
        patience: Duration,
    ) -> Self {
        Self { last: Some(last), totals, deadline: deadline.unwrap_or_default(), patience }
    }

    /// Counts how the request ended.
    pub(in crate::engine) fn end(mut self, outcome: Outcome) -> LastWord {
        let update = match outcome {
            Outcome::Done(finished) => {
                self.totals.done(&finished);
                Update::Done(finished)
            }
            Outcome::Failed(error) => self.failed(error),
            Outcome::Interrupted(CancelReason::Deadline) => {
                self.failed(DeviceError::Deadline(self.deadline))
            }
            Outcome::Interrupted(CancelReason::Shutdown) => self.failed(DeviceError::Closing),
            // One that has gone does not hear it.
            Outcome::Interrupted(CancelReason::Client | CancelReason::SlowClient) => {
                self.totals.cancelled();
                Update::Failed(DeviceError::SlowClient(self.patience))
            }
        };
        LastWord(self.last.take().map(|last| (last, update)))
    }

    /// The request was not taken on: whoever asked is told otherwise.
    pub(in crate::engine) fn refused(mut self) {
        self.last = None;
        self.totals.refused();
    }

    fn failed(&self, error: DeviceError) -> Update {
        self.totals.failed();
        Update::Failed(error)
    }
}

impl LastWord {
    pub(in crate::engine) fn send(self) {
        if let Some((last, update)) = self.0 {
            // Nobody may be there any more to read it.
            let _ = last.send(update);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(last) = self.last.take() {
            LastWord(Some((last, self.failed(DeviceError::Fault)))).send();
        }
    }
}
