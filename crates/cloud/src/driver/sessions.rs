//! Sessions of the devices: their outboxes, and the answers that are being put together.

use std::{collections::BTreeMap, mem, sync::Arc};

use tricorn_core::{AnswerPart, AppendKind, HiddenCodec};
use tricorn_wire::{Deep, Downlink, ErrorCode, Failure, WireError};

use crate::{
    command::NewSession,
    load::{LoadGauge, SessionPermit},
    outbox::{Outbox, PushError},
};

/// The ways to the devices, by their sessions.
pub(super) struct DeviceSessions {
    /// Values in one hidden row.
    hidden: usize,
    sessions: BTreeMap<u64, DeviceSession>,
    load: Arc<LoadGauge>,
}

struct DeviceSession {
    codec: HiddenCodec,
    outbox: Arc<Outbox>,
    /// Deep rows so far of the answer to an append that runs in pieces, row-major.
    answer: Vec<f32>,
    _permit: SessionPermit,
}

/// How a session ends that cannot be answered.
pub(super) enum Unanswered {
    /// It is over already, or its device reads too slowly and has been told.
    Over,
    /// Its device must be told.
    Failed(Failure),
}

impl DeviceSessions {
    pub(super) fn new(hidden: usize, load: Arc<LoadGauge>) -> Self {
        Self { hidden, sessions: BTreeMap::new(), load }
    }

    pub(super) fn open(&mut self, new: NewSession) {
        let NewSession { id, codec, outbox, permit, .. } = new;
        let session = DeviceSession { codec, outbox, answer: Vec::new(), _permit: permit };
        self.sessions.insert(id, session);
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.sessions.keys().copied().collect()
    }

    /// Ends a session after what its device has not read yet.
    pub(super) fn end(&mut self, id: u64, failure: Option<Failure>) {
        if let Some(session) = self.sessions.remove(&id) {
            session.outbox.end(failure);
        }
    }

    pub(super) fn end_all(&mut self, failure: &Failure) {
        for session in mem::take(&mut self.sessions).into_values() {
            session.outbox.end(Some(failure.clone()));
        }
    }

    /// Puts a message into a session's outbox.
    pub(super) fn send(&mut self, id: u64, message: Downlink) -> Result<(), Unanswered> {
        let session = self.sessions.get(&id).ok_or(Unanswered::Over)?;
        session.outbox.push(message).map_err(|error| {
            if error == PushError::Full {
                let message = "answers were not read in time; reconnect and read faster or ask \
                               for fewer rows"
                    .to_owned();
                session.outbox.abort(Failure { code: ErrorCode::SlowReader, message });
            }
            Unanswered::Over
        })
    }

    /// Adds to an answer the rows of `part`, which are among `rows`, and sends it when that was all
    /// of it.
    pub(super) fn answer(
        &mut self,
        id: u64,
        part: &AnswerPart,
        rows: &[f32],
    ) -> Result<(), Unanswered> {
        let session = self.sessions.get_mut(&id).ok_or(Unanswered::Over)?;
        if part.begins {
            session.answer.clear();
        }
        let own = part.rows.start * self.hidden..part.rows.end * self.hidden;
        session.answer.extend_from_slice(&rows[own]);
        let Some(answer) = part.answer else { return Ok(()) };
        let rows = mem::take(&mut session.answer);
        // A verification's answer is small, and what it would say of larger batches is hardly new.
        let load = self.load.snapshot(answer.kind == AppendKind::Prompt);
        let deep =
            Deep::encode(answer.header, session.codec, self.hidden, &rows, answer.timing, load);
        self.send(id, Downlink::Deep(deep.map_err(Unanswered::encoding)?))
    }
}

impl Unanswered {
    fn encoding(error: WireError) -> Self {
        Self::Failed(Failure { code: ErrorCode::Internal, message: error.to_string() })
    }
}
