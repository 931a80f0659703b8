//! Slot of a session in the scheduler: its queue, and when it waited for what.

use std::{ops::Range, time::Duration};

use super::{
    answer::{Answer, AnswerPart},
    arrival::{Arrival, Waiting},
    batch::Candidate,
    error::AppendError,
    in_flight::{FormedMember, InFlightBatch, Member},
    session::{Admission, CloudSession},
};
use crate::{AnswerTiming, AppendHeader, AppendKind, SessionLimits};

/// One session's place in the scheduler.
#[derive(Debug)]
pub(super) struct Slot<P> {
    session: CloudSession<Waiting<P>>,
    /// When its last run was done: what came before waited for itself until then.
    free_since: Duration,
    /// When its last append came, if that was a verification.
    verified: Option<Duration>,
    /// Start of the first batch of the append that is being answered.
    answer_start: Duration,
}

impl<P> Slot<P> {
    pub(super) fn new(limits: SessionLimits, stages: usize, now: Duration) -> Self {
        let session = CloudSession::new(limits).with_stages(stages);
        Self { session, free_since: now, verified: None, answer_start: now }
    }

    pub(super) fn accept(
        &mut self,
        header: AppendHeader,
        rows: P,
        arrival: Arrival,
        ticket: u64,
    ) -> Result<Admission, AppendError> {
        self.verified = (header.kind == AppendKind::Verify).then_some(arrival.at);
        self.session.accept(header, Waiting { rows, arrival, ticket })
    }

    /// What it could run now.
    pub(super) fn candidate(&self) -> Option<Candidate> {
        let head = self.session.head()?;
        Some(Candidate { arrival: head.payload.ticket, rows: head.rows, kind: head.kind })
    }

    /// Whether a verification came less than `recently` ago, and nothing since.
    pub(super) fn is_decoding(&self, now: Duration, recently: Duration) -> bool {
        self.verified.is_some_and(|at| now.saturating_sub(at) < recently)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.session.is_busy()
    }

    /// Whether any of its rows has ever started to run.
    pub(super) fn has_started(&self) -> bool {
        self.session.has_started()
    }

    /// Starts at most `most_rows` of what waits, as the share of `id` in a batch.
    pub(super) fn start(
        &mut self,
        id: u64,
        most_rows: usize,
        now: Duration,
    ) -> Option<FormedMember<P>>
    where
        P: Clone,
    {
        let run = self.session.start_next(most_rows)?;
        let begins = run.pieces.first().filter(|piece| piece.is_first()).map(|piece| {
            let ready = self.free_since.max(piece.payload.arrival.at);
            (piece.header.kind, now.saturating_sub(ready))
        });
        Some(FormedMember { session: id, run, begins })
    }

    /// The oldest run, `member` of `batch`, is through the whole middle.
    pub(super) fn done(
        &mut self,
        batch: &InFlightBatch,
        member: &Member,
        now: Duration,
    ) -> Vec<AnswerPart> {
        self.free_since = now;
        let wanted = self.session.done();
        let run = &member.run;
        let first_pos = run.pos + run.rows - run.answer_rows();
        let mut parts = Vec::with_capacity(run.pieces.len());
        for piece in &run.pieces {
            if piece.is_first() {
                self.answer_start = batch.start();
            }
            let Range { start, end } = piece.answer_rows();
            let rows = if start < end { start - first_pos..end - first_pos } else { 0..0 };
            let answer = (piece.is_last() && wanted).then(|| Answer {
                header: piece.header.answer(),
                kind: piece.header.kind,
                timing: AnswerTiming {
                    queue: self.answer_start.saturating_sub(piece.payload.at),
                    compute: now.saturating_sub(self.answer_start),
                    batch_rows: batch.rows(),
                    batch_appends: batch.appends(),
                    received: piece.payload.received,
                },
            });
            parts.push(AnswerPart { begins: piece.is_first(), rows, answer });
        }
        parts
    }
}
