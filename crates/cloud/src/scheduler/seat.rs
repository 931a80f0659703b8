//! What the scheduler keeps of a session.

use std::{sync::Arc, time::Instant};

use tricorn_core::{CloudSession, HiddenCodec, Received, SessionLimits};

use crate::{load::Slot, outbox::Outbox, queue::QueuedRows};

/// A session as its stream's task opens it.
#[derive(Debug)]
pub(crate) struct NewSession {
    pub(crate) id: u64,
    pub(crate) limits: SessionLimits,
    pub(crate) codec: HiddenCodec,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) slot: Slot,
}

/// An append's decoded rows.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) values: Vec<f32>,
    pub(crate) arrival: Arrival,
    /// Dropped when the last of them starts to run.
    pub(crate) _queued: QueuedRows,
}

/// When and how an append arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) received: Option<Received>,
}

/// An append that waits; shared by its pieces when it is cut.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) rows: Rows,
    /// Drawn in order of arrival.
    pub(super) ticket: u64,
}

pub(super) struct Seat<Kv> {
    pub(super) state: CloudSession<Arc<Waiting>>,
    pub(super) kv: Kv,
    pub(super) codec: HiddenCodec,
    pub(super) outbox: Arc<Outbox>,
    /// When its last run was done: what came before waited for itself until then.
    pub(super) free_since: Instant,
    /// When its last append came, if that was a verification.
    pub(super) verified: Option<Instant>,
    /// The append that is being answered.
    pub(super) answer: Answer,
    pub(super) _slot: Slot,
}

/// What there is so far of the answer to an append that runs in pieces.
#[derive(Debug)]
pub(super) struct Answer {
    /// Deep rows, row-major.
    pub(super) rows: Vec<f32>,
    /// The start of its first batch.
    pub(super) start: Instant,
}

impl<Kv> Seat<Kv> {
    pub(super) fn new(
        NewSession { limits, codec, outbox, slot, .. }: NewSession,
        kv: Kv,
        stages: usize,
        now: Instant,
    ) -> Self {
        let state = CloudSession::new(limits).with_stages(stages);
        Self {
            state,
            kv,
            codec,
            outbox,
            free_since: now,
            verified: None,
            answer: Answer { rows: Vec::new(), start: now },
            _slot: slot,
        }
    }
}
