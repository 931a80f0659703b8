//! Answers of the cloud, and what they confirm.

use super::{DeviceSession, Judging};
use crate::{
    AppendKind, DeepHeader, DeepUse, FinishReason, Judgement, ProtocolError,
    device::{Branch, round::Branching},
};

impl DeviceSession {
    /// The header of an answer from the cloud, and what its rows are for.
    ///
    /// # Errors
    /// When it answers no append in flight; the connection should be closed and
    /// [`disconnected`](Self::disconnected) reported.
    pub fn deep(&mut self, header: DeepHeader) -> Result<DeepUse, ProtocolError> {
        if header.epoch < self.epoch {
            return Ok(DeepUse::Stale);
        }
        if header.epoch > self.epoch {
            return Err(ProtocolError::FutureEpoch { epoch: self.epoch, got: header.epoch });
        }
        let Some(&append) = self.in_flight.front() else {
            return Err(ProtocolError::Unasked(header));
        };
        if append.answer() != header {
            return Err(ProtocolError::Mismatch { due: append.answer(), got: header });
        }
        self.in_flight.pop_front();
        self.timeline.answered();
        self.acknowledged = append.end();
        if header.rows == 0 {
            return Ok(DeepUse::Ack);
        }
        self.deep_len = append.end();
        if append.end() < self.confirmed {
            return Ok(DeepUse::Extend);
        }
        let first_row = self.confirmed - 1 - header.first_row_pos;
        self.judging = Some(Judging { kind: append.kind, rows_left: header.rows - first_row });
        if append.kind == AppendKind::Verify && !self.round.answered {
            self.round.answered = true;
            self.stats.rounds += 1;
        }
        Ok(DeepUse::Judge { first_row, pos: self.confirmed })
    }

    /// Confirms the target's token for the next row of the answer being judged. Without such an
    /// answer nothing happens, as if a round had been [settled](Judgement::Settled).
    pub fn judge(&mut self, token: u32) -> Judgement {
        self.confirm(token, false)
    }

    /// The same for a token after which none can follow: the turn is over, as if a stop token had
    /// come.
    pub fn judge_last(&mut self, token: u32) -> Judgement {
        self.confirm(token, true)
    }

    fn confirm(&mut self, token: u32, ends: bool) -> Judgement {
        let (Some(Judging { kind, rows_left }), Some(turn)) = (self.judging, &mut self.turn) else {
            return Judgement::Settled { branch: None };
        };
        let pos = self.confirmed;
        let agrees = self.tokens.get(pos) == Some(&token);
        if let Some(draft) = self.round.draft_at(pos) {
            self.calibration.observe(draft.confidence, agrees);
        }
        if !agrees {
            self.tokens.truncate(pos);
            self.tokens.push(token);
        }
        self.confirmed += 1;
        self.stats.generated += 1;
        self.stats.accepted += usize::from(agrees);
        self.stats.verified += usize::from(kind == AppendKind::Verify);
        if ends || turn.options.stop_tokens.contains(&token) {
            turn.finished = Some(FinishReason::Stop);
        } else if self.stats.generated >= turn.options.max_new_tokens
            || self.confirmed >= self.config.context
        {
            turn.finished = Some(FinishReason::Length);
        }
        if agrees && turn.finished.is_none() {
            self.judging = (rows_left > 1).then_some(Judging { kind, rows_left: rows_left - 1 });
            return if self.judging.is_some() { Judgement::Accepted } else { Judgement::Pending };
        }
        let goes_on = turn.finished.is_none();
        let taken = |branch: &Branch| {
            goes_on && branch.pos == pos && branch.token == token && !branch.drafts.is_empty()
        };
        let branch = self.branches().iter().position(taken);
        self.stats.branch_hits += usize::from(branch.is_some());
        if kind == AppendKind::Verify {
            // A streamed round that a refusal cut short says nothing of how long it would have
            // been.
            if self.round.closed || self.tokens.len() >= self.round.end {
                self.habit.drafted.add(self.round.drafts.len() as f64);
            }
            self.habit
                .accepted
                .add((pos + usize::from(agrees)).saturating_sub(self.round.first) as f64);
        }
        self.settle(branch);
        Judgement::Settled { branch }
    }

    /// Ends a round: drafts that were not confirmed go, on both sides, and what is in flight is of
    /// no use. The last token's own row was not among those verified. The drafts of `branch` are
    /// the next round's first.
    pub(super) fn settle(&mut self, branch: Option<usize>) {
        self.abandon_in_flight();
        self.tokens.truncate(self.confirmed);
        self.judging = None;
        self.truncate_rows(self.confirmed - 1);
        let branching = std::mem::take(&mut self.round.branching);
        let branch = match (branching, branch) {
            (Branching::Under { mut branches, .. }, Some(index)) if index < branches.len() => {
                Some(branches.swap_remove(index))
            }
            _ => None,
        };
        self.begin_round(branch);
    }
}
