//! Answers to a batch that has been computed.

use std::time::Instant;

use tricorn_core::{AnswerTiming, AppendKind};
use tricorn_wire::{Deep, Downlink, ErrorCode, Failure};

use super::{Scheduler, form::Member, seat::Answer, stages::Flight};
use crate::middle::MiddleModel;

impl<M: MiddleModel> Scheduler<M> {
    /// Answers a batch whose deep rows lie in `x`: there is no later stage.
    pub(super) fn answer_here(&mut self, flight: &Flight) {
        let x = std::mem::take(&mut self.x);
        let hidden = self.model.hidden();
        for member in &flight.members {
            let end = (member.first_row + member.run.rows) * hidden;
            self.answer(member, &x[end - member.run.answer_rows() * hidden..end], flight);
        }
        self.x = x;
    }

    /// Answers the appends that end in `member`'s run; `rows` are the run's last ones, as many as
    /// [`tricorn_core::Run::answer_rows`].
    pub(super) fn answer(&mut self, member: &Member, rows: &[f32], flight: &Flight) {
        let (hidden, end) = (self.model.hidden(), Instant::now());
        let Some(seat) = self.seats.get_mut(&member.session) else { return };
        seat.free_since = end;
        let wanted = seat.state.done();
        let first_pos = member.run.pos + member.run.rows - member.run.answer_rows();
        for piece in &member.run.pieces {
            let Some(seat) = self.seats.get_mut(&member.session) else { return };
            if piece.is_first() {
                seat.answer = Answer { rows: Vec::new(), start: flight.start };
            }
            let own = piece.answer_rows();
            if !own.is_empty() {
                seat.answer.rows.extend_from_slice(
                    &rows[(own.start - first_pos) * hidden..(own.end - first_pos) * hidden],
                );
            }
            if !piece.is_last() || !wanted {
                continue;
            }
            let Answer { rows, start } =
                std::mem::replace(&mut seat.answer, Answer { rows: Vec::new(), start: end });
            let timing = AnswerTiming {
                queue: start.saturating_duration_since(piece.payload.at),
                compute: end.saturating_duration_since(start),
                batch_rows: flight.rows(),
                batch_appends: flight.appends(),
                received: piece.payload.received,
            };
            // A verification's answer is small, and what it would say of larger batches is hardly
            // new.
            let load = self.load.snapshot(piece.header.kind == AppendKind::Prompt);
            match Deep::encode(piece.header.answer(), seat.codec, hidden, &rows, timing, load) {
                Ok(deep) => self.send(member.session, Downlink::Deep(deep)),
                Err(error) => self.fail(
                    member.session,
                    Failure { code: ErrorCode::Internal, message: error.to_string() },
                ),
            }
        }
    }
}
