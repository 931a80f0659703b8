//! Next action: what the session asks of its driver.

use super::{DeviceSession, OpenTurn};
use crate::{Action, AppendHeader, AppendKind, Want, device::round::Branching};

impl DeviceSession {
    pub(super) fn next_action(&self) -> Action {
        let Some(turn) = &self.turn else {
            return Action::Wait;
        };
        if let Some(reason) = turn.finished {
            return Action::Finished(reason);
        }
        if self.judging.is_some() {
            return Action::Wait;
        }
        if !self.connected {
            return Action::Connect;
        }
        // The last token's row is a prompt's last row, and judged as such, or the first of a
        // verification.
        let last = self.confirmed - 1;
        let decoding = self.confirmed > turn.prompt;
        let prompt_end = if decoding { last } else { self.confirmed };
        if self.upload_pos < prompt_end {
            let (left, pipeline) =
                (prompt_end - self.upload_pos, || self.timeline.pipeline(&self.conditions));
            let rows = turn.options.chunk.rows(
                left,
                self.most_rows(),
                self.rows_in_flight(),
                pipeline,
                &self.conditions,
            );
            return rows
                .and_then(|rows| self.append(rows, AppendKind::Prompt))
                .unwrap_or(Action::Wait);
        }
        if decoding { self.next_of_round(turn) } else { Action::Wait }
    }

    fn next_of_round(&self, turn: &OpenTurn) -> Action {
        let round = &self.round;
        let pos = self.tokens.len();
        let drafting = !round.closed && pos < round.end;
        let unsent = pos - self.upload_pos;
        if unsent > 0 && (round.stream || !drafting) {
            match self.append(unsent, AppendKind::Verify) {
                Some(append) => return append,
                None if !drafting => return Action::Wait,
                None => {}
            }
        }
        if drafting {
            return Action::Draft { pos };
        }
        match &round.branching {
            Branching::NotYet if self.branch_steps(turn) > 0 => Action::Guess { pos },
            Branching::Under { steps_left: 1.., .. } if self.open_branches().next().is_some() => {
                Action::Branch
            }
            Branching::NotYet | Branching::Under { .. } => Action::Wait,
        }
    }

    /// The append of the next `rows` rows; `None` while too many are in flight.
    fn append(&self, rows: usize, kind: AppendKind) -> Option<Action> {
        let in_flight = self.rows_in_flight();
        if in_flight > 0 && in_flight + rows > self.config.max_queued_rows {
            return None;
        }
        let end = self.upload_pos + rows;
        let want = match kind {
            AppendKind::Verify => Want::All,
            // The output layers need the deep row of every position once, whether or not it is
            // judged.
            AppendKind::Prompt if self.config.output_layers > 0 && end > self.deep_len => Want::All,
            AppendKind::Prompt if end == self.confirmed => Want::Last,
            AppendKind::Prompt => Want::None,
        };
        Some(Action::Append(AppendHeader {
            epoch: self.epoch,
            pos: self.upload_pos,
            rows,
            want,
            kind,
        }))
    }

    fn rows_in_flight(&self) -> usize {
        self.in_flight.iter().map(|append| append.rows).sum()
    }

    pub(super) fn most_rows(&self) -> usize {
        self.config.max_append_rows.min(self.config.max_queued_rows).max(1)
    }
}
