//! A batch through the layers of a later stage.

use std::time::Duration;

use tricorn_core::DelayModel;
use tricorn_wire::{ErrorCode, Failure, StageEntry};

use super::{
    next::not_finite,
    sessions::{Held, Sessions, one_short_line},
};
use crate::{
    Pace,
    compute::{Computed, compute},
    middle::{BatchEntry, MiddleModel},
};

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The entries that ran, with their sessions' names at the next stage.
    pub(crate) entries: Vec<(StageEntry, u64)>,
    /// Their rows, through the layers here.
    pub(crate) x: Vec<f32>,
    /// Sessions that failed.
    pub(crate) failed: Vec<(u64, Failure)>,
    /// What the next stage called those of them that it may hold.
    pub(crate) gone: Vec<u64>,
    /// Rows that ran.
    pub(crate) rows: usize,
    /// What they took.
    pub(crate) time: Duration,
    /// Whether that was longer than the pace to be kept.
    pub(crate) overran: bool,
}

/// Runs `entries` on their rows `x`, those that cannot run left out. New sessions are named by
/// `names`; `delay` says what batches take here.
pub(crate) fn run<M: MiddleModel>(
    model: &M,
    sessions: &mut Sessions<M::Kv>,
    entries: Vec<StageEntry>,
    mut x: Vec<f32>,
    names: &mut impl FnMut() -> u64,
    delay: &DelayModel,
    pace: Option<Pace>,
) -> Outcome {
    let hidden = model.hidden();
    let (mut failed, mut gone) = (Vec::new(), Vec::new());
    let (mut from, mut kept) = (0, 0);
    let mut fits = |entry: &StageEntry| {
        let rows = from..from + entry.rows * hidden;
        from = rows.end;
        match sessions.prepare(model, entry, names()) {
            Ok(()) => {
                x.copy_within(rows.clone(), kept);
                kept += rows.len();
                true
            }
            Err((name, failure)) => {
                gone.extend(name);
                failed.push((entry.session, failure));
                false
            }
        }
    };
    let entries: Vec<StageEntry> = entries.into_iter().filter(|entry| fits(entry)).collect();
    x.truncate(kept);

    let mut running: Vec<(StageEntry, Held<M::Kv>)> = entries
        .into_iter()
        .filter_map(|entry| Some((entry, sessions.take(entry.session)?)))
        .collect();
    let rows = running.iter().map(|(entry, _)| entry.rows).sum::<usize>();
    let computed = if rows == 0 {
        Computed { outcome: Ok(()), time: Duration::ZERO, overran: false }
    } else {
        let mut batch: Vec<BatchEntry<'_, M::Kv>> = running
            .iter_mut()
            .map(|(entry, held)| BatchEntry { kv: &mut held.kv, pos: entry.pos, rows: entry.rows })
            .collect();
        // Nobody knows how slow the first one is.
        compute(model, &mut batch, &mut x, delay.at(rows).unwrap_or(Duration::MAX), pace)
    };
    let Computed { outcome, time, overran } = computed;
    let mut entries = Vec::with_capacity(running.len());
    match outcome {
        Ok(()) => {
            for (entry, held) in running {
                entries.push((entry, held.name));
                sessions.put_back(entry.session, held);
            }
        }
        Err(error) => {
            let failure =
                Failure { code: ErrorCode::Internal, message: one_short_line(&error.to_string()) };
            gone.extend(running.iter().map(|(_, held)| held.name));
            failed.extend(running.iter().map(|(entry, _)| (entry.session, failure.clone())));
            x.clear();
        }
    }
    Outcome { entries, x, failed, gone, rows, time, overran }
}

impl Outcome {
    /// The answer rows of the middle's last stage. A session whose rows have overflowed fails, and
    /// takes none of the others along.
    pub(crate) fn answer<Kv>(&mut self, sessions: &mut Sessions<Kv>, hidden: usize) -> Vec<f32> {
        let (mut rows, mut end) = (Vec::new(), 0);
        for (entry, _) in &self.entries {
            end += entry.rows * hidden;
            let wanted = self.x.get(end - entry.answer_rows * hidden..end).unwrap_or_default();
            if wanted.iter().fold(true, |all, value| all & value.is_finite()) {
                rows.extend_from_slice(wanted);
            } else {
                sessions.remove(entry.session);
                self.failed.push((entry.session, not_finite()));
            }
        }
        rows
    }
}
