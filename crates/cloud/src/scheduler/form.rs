//! Putting a batch together.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tricorn_core::{AppendKind, BatchLimits, Candidate, Piece, Run, choose_batch};
use tricorn_wire::{ErrorCode, Failure};

use super::seat::{Arrival, Seat, Waiting};
use crate::middle::{BatchEntry, MiddleModel};

/// A batch before it runs.
pub(super) struct Formed<'a, Kv> {
    pub(super) members: Vec<Member>,
    /// One a member.
    pub(super) entries: Vec<BatchEntry<'a, Kv>>,
    /// Sessions that would have taken part if there were memory for them.
    pub(super) refused: Vec<(u64, Failure)>,
}

/// A session's share of a batch.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) session: u64,
    pub(super) run: Run<Arrival>,
    /// Where its rows begin among the batch's.
    pub(super) first_row: usize,
    /// What it joined the batch for and how long it had been ready; `None` where an append goes on.
    pub(super) begins: Option<(AppendKind, Duration)>,
}

/// Chooses what runs now and lays its rows into `x`.
pub(super) fn form<'a, M: MiddleModel>(
    model: &M,
    seats: &'a mut BTreeMap<u64, Seat<M::Kv>>,
    limits: &BatchLimits,
    x: &mut Vec<f32>,
    now: Instant,
) -> Formed<'a, M::Kv> {
    let candidate = |seat: &Seat<M::Kv>| {
        let head = seat.state.head()?;
        Some(Candidate { arrival: head.payload.ticket, rows: head.rows, kind: head.kind })
    };
    let (candidates, mut ready): (Vec<_>, Vec<_>) = seats
        .iter_mut()
        .filter_map(|(&id, seat)| Some((candidate(seat)?, Some((id, seat)))))
        .unzip();
    let mut formed = Formed { members: Vec::new(), entries: Vec::new(), refused: Vec::new() };
    let (hidden, mut first_row) = (model.hidden(), 0);
    x.clear();
    for share in choose_batch(&candidates, limits) {
        let Some((session, seat)) = ready.get_mut(share.index).and_then(Option::take) else {
            continue;
        };
        let Some(run) = seat.state.start_next(share.rows) else { continue };
        if let Err(error) = model.prepare(&mut seat.kv, run.pos, run.rows) {
            formed
                .refused
                .push((session, Failure { code: ErrorCode::Busy, message: error.to_string() }));
            continue;
        }
        for piece in &run.pieces {
            let from = (piece.pos - piece.header.pos) * hidden;
            x.extend_from_slice(&piece.payload.rows.values[from..][..piece.rows * hidden]);
        }
        formed.entries.push(BatchEntry { kv: &mut seat.kv, pos: run.pos, rows: run.rows });
        let begins = run.pieces.first().filter(|piece| piece.is_first()).map(|piece| {
            let ready = seat.free_since.max(piece.payload.rows.arrival.at);
            (piece.header.kind, now.saturating_duration_since(ready))
        });
        let rows = run.rows;
        formed.members.push(Member { session, run: without_rows(run), first_row, begins });
        first_row += rows;
    }
    formed
}

/// The rows have been copied; dropping them makes room in the session's queue.
fn without_rows(run: Run<Arc<Waiting>>) -> Run<Arrival> {
    let piece = |Piece { header, pos, rows, payload }: Piece<Arc<Waiting>>| Piece {
        header,
        pos,
        rows,
        payload: payload.rows.arrival,
    };
    Run { pos: run.pos, rows: run.rows, pieces: run.pieces.into_iter().map(piece).collect() }
}
