//! A middle of several stages: batches on their way through the later ones.

use std::time::{Duration, Instant};

use super::{Scheduler, form::Member, stage_failure};
use crate::{
    downstream::{Downstream, StageAnswer, StageBatch, StageEntry, StageLost},
    middle::MiddleModel,
};

/// What comes after this stage.
pub(super) enum Next {
    /// Nothing: this is the last stage, or the only one.
    None,
    /// A stage that cannot be reached for now.
    Lost(StageLost),
    /// A stage that takes batches.
    Up {
        stage: Box<dyn Downstream>,
        /// Sessions that ended and that it has not been told of.
        closed: Vec<u64>,
    },
}

impl Next {
    pub(super) fn up(stage: Box<dyn Downstream>) -> Self {
        Self::Up { stage, closed: Vec::new() }
    }

    pub(super) fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether another batch may run while `out` are out.
    pub(super) fn takes(&self, out: usize) -> bool {
        match self {
            Self::None => true,
            Self::Lost(_) => false,
            Self::Up { stage, .. } => out < stage.window().max(1),
        }
    }

    /// Whether it must be told something while `out` batches are out, without a batch to tell it
    /// with. An empty one takes a place in the window, so it never goes beside others: what they
    /// release will bring the next along.
    pub(super) fn has_news(&self, out: usize) -> bool {
        matches!(self, Self::Up { closed, .. } if out == 0 && !closed.is_empty())
    }

    /// Stages of the whole middle.
    pub(super) fn stages(&self) -> usize {
        match self {
            Self::None | Self::Lost(_) => 1,
            Self::Up { stage, .. } => 1 + stage.stages(),
        }
    }

    /// A session that may have rows there has ended.
    pub(super) fn forget(&mut self, session: u64) {
        if let Self::Up { closed, .. } = self {
            closed.push(session);
        }
    }
}

/// A batch that this stage has computed.
pub(super) struct Flight {
    pub(super) members: Vec<Member>,
    pub(super) start: Instant,
    /// What this stage took.
    pub(super) own: Duration,
}

impl Flight {
    pub(super) fn rows(&self) -> usize {
        self.members.iter().map(|member| member.run.rows).sum()
    }

    pub(super) fn appends(&self) -> usize {
        self.members.iter().map(|member| member.run.pieces.len()).sum()
    }
}

impl<M: MiddleModel> Scheduler<M> {
    /// Sends a batch on to the next stage.
    pub(super) fn hand_over(&mut self, flight: Flight) {
        let Next::Up { stage, closed } = &mut self.next else { return };
        let entry = |member: &Member| StageEntry {
            session: member.session,
            pos: member.run.pos,
            rows: member.run.rows,
            answer_rows: member.run.answer_rows(),
        };
        self.batches += 1;
        let batch = StageBatch {
            id: self.batches,
            entries: flight.members.iter().map(entry).collect(),
            x: std::mem::take(&mut self.x),
            closed: std::mem::take(closed),
        };
        match stage.start(batch) {
            Ok(()) => {
                self.flights.insert(self.batches, flight);
            }
            Err(lost) => self.change_next(Err(lost)),
        }
    }

    /// A batch is through all stages.
    pub(super) fn returned(&mut self, StageAnswer { id, rows, failed, queue, .. }: StageAnswer) {
        // Absent: the connection that it went over was lost.
        let Some(flight) = self.flights.remove(&id) else { return };
        if !flight.members.is_empty() {
            // With the ways there and back, and without the waits for batches before it: those the
            // pipeline hides.
            let later = flight.start.elapsed().saturating_sub(flight.own).saturating_sub(queue);
            self.load.monitor().returned(flight.own, later);
        }
        for (session, failure) in &failed {
            self.fail(*session, failure.clone());
        }
        let hidden = self.model.hidden();
        let mut rest = rows.as_slice();
        for member in flight
            .members
            .iter()
            .filter(|member| failed.iter().all(|(session, _)| *session != member.session))
        {
            let Some((own, behind)) = rest.split_at_checked(member.run.answer_rows() * hidden)
            else {
                return self.change_next(Err(StageLost(
                    "it answered with fewer rows than were asked for".to_owned(),
                )));
            };
            rest = behind;
            self.answer(member, own, &flight);
        }
    }

    /// Goes on over a new connection, or ends every session: without a later stage's rows none can
    /// go on.
    pub(super) fn change_next(&mut self, next: Result<Box<dyn Downstream>, StageLost>) {
        self.flights.clear();
        let reason = next.as_ref().err().cloned();
        let ended =
            reason.clone().unwrap_or_else(|| StageLost("its connection is a new one".to_owned()));
        for seat in std::mem::take(&mut self.seats).into_values() {
            seat.outbox.end(Some(stage_failure(&ended)));
        }
        self.next = match next {
            Ok(stage) => Next::up(stage),
            Err(lost) => Next::Lost(lost),
        };
        self.load.monitor().set_stages(self.next.stages());
        self.load.set_stage_lost(reason);
    }
}

#[cfg(test)]
mod tests;
