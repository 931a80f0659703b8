//! Batches from their forming to the answers of their appends.

use std::{ops::Range, time::Duration};

use super::{
    arrival::{Arrival, Waiting},
    run::{Piece, Run},
    stage::StageEntry,
};
use crate::AppendKind;

/// A batch before it runs: whose rows were chosen, and what the driver keeps of them.
#[derive(Debug)]
#[must_use = "what was chosen has left its queue"]
pub struct FormedBatch<P> {
    pub(super) start: Duration,
    pub(super) budget: usize,
    pub(super) members: Vec<FormedMember<P>>,
}

/// A session's share of a batch before it runs.
#[derive(Debug)]
pub struct FormedMember<P> {
    pub(super) session: u64,
    pub(super) run: Run<Waiting<P>>,
    pub(super) begins: Option<(AppendKind, Duration)>,
}

/// A batch that runs here or in a later stage. Its appends' payloads are no longer needed.
#[derive(Debug)]
pub struct InFlightBatch {
    start: Duration,
    budget: usize,
    /// What this stage took.
    own: Duration,
    members: Vec<Member>,
}

/// A session's share of a batch.
#[derive(Debug)]
pub struct Member {
    session: u64,
    pub(super) run: Run<Arrival>,
    /// Where its rows begin among the batch's.
    first_row: usize,
    /// What it joined the batch for and how long it had been ready; `None` where an append goes on.
    begins: Option<(AppendKind, Duration)>,
}

impl<P> FormedBatch<P> {
    /// The batch of those members for whom there is memory, as `admit` says of each in order. It
    /// may copy the rows of those that it admits, one member's behind the other's. The scheduler
    /// must then be told that the sessions of the others have ended.
    pub fn admit(self, mut admit: impl FnMut(&FormedMember<P>) -> bool) -> InFlightBatch {
        let Self { start, budget, members: chosen } = self;
        let mut first_row = 0;
        let mut members = Vec::with_capacity(chosen.len());
        for formed in chosen {
            if !admit(&formed) {
                continue;
            }
            let FormedMember { session, run, begins } = formed;
            let rows = run.rows;
            members.push(Member { session, run: without_rows(run), first_row, begins });
            first_row += rows;
        }
        InFlightBatch { start, budget, own: Duration::ZERO, members }
    }
}

impl<P> FormedMember<P> {
    /// The session.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.session
    }

    /// Position of the first row: the session's rows from there on are dropped first.
    #[must_use]
    pub fn pos(&self) -> usize {
        self.run.pos
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.run.rows
    }

    /// The payloads of the appends that take part, each with the range of its rows, in order.
    pub fn pieces(&self) -> impl Iterator<Item = (&P, Range<usize>)> {
        self.run.pieces.iter().map(|piece| {
            let first = piece.pos - piece.header.pos;
            (&piece.payload.rows, first..first + piece.rows)
        })
    }
}

impl InFlightBatch {
    /// When it was formed.
    #[must_use]
    pub fn start(&self) -> Duration {
        self.start
    }

    /// Rows that prompts might fill it up to.
    #[must_use]
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// Rows of all members.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.members.iter().map(|member| member.run.rows).sum()
    }

    /// Appends that take part.
    #[must_use]
    pub fn appends(&self) -> usize {
        self.members.iter().map(|member| member.run.pieces.len()).sum()
    }

    /// Members of the batch.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The members as a later stage is told of them.
    pub fn entries(&self) -> impl Iterator<Item = StageEntry> {
        self.members.iter().map(|member| StageEntry {
            session: member.session,
            pos: member.run.pos,
            rows: member.run.rows,
            answer_rows: member.run.answer_rows(),
        })
    }

    /// Whether it holds rows of a prompt.
    pub(super) fn is_prompting(&self) -> bool {
        self.members.iter().any(|member| member.run.kind() == Some(AppendKind::Prompt))
    }

    /// The appends that begin in it: their kind, how long they had been ready, and the rows of
    /// others in the batch.
    pub(super) fn begun(&self) -> impl Iterator<Item = (AppendKind, Duration, usize)> {
        let rows = self.rows();
        self.members.iter().filter_map(move |member| {
            let (kind, waited) = member.begins?;
            Some((kind, waited, rows - member.run.rows))
        })
    }

    /// What this stage took.
    pub(super) fn own(&self) -> Duration {
        self.own
    }

    /// This stage is done with it.
    pub(super) fn computed(&mut self, now: Duration) {
        self.own = now.saturating_sub(self.start);
    }
}

impl Member {
    /// The session.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.session
    }

    /// The rows that answers need, counted among the batch's: the last ones of the session's share.
    #[must_use]
    pub fn answer_rows(&self) -> Range<usize> {
        let end = self.first_row + self.run.rows;
        end - self.run.answer_rows()..end
    }
}

/// The rows have been copied; dropping them makes room in the session's queue.
fn without_rows<P>(run: Run<Waiting<P>>) -> Run<Arrival> {
    let piece = |Piece { header, pos, rows, payload }: Piece<Waiting<P>>| Piece {
        header,
        pos,
        rows,
        payload: payload.arrival,
    };
    Run { pos: run.pos, rows: run.rows, pieces: run.pieces.into_iter().map(piece).collect() }
}
