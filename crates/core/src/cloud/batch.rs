//! Batch forming: chooses which sessions' rows run in the next forward pass.

use crate::AppendKind;

/// What one session could run next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Ticket drawn when its append was accepted; lower came earlier.
    pub arrival: u64,
    /// Rows that may run together.
    pub rows: usize,
    /// What they are for.
    pub kind: AppendKind,
}

/// One candidate's place in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Index of the candidate.
    pub index: usize,
    /// How many of its rows, at least one. A verification's appends are not cut: of several that
    /// follow each other, those run that end within these rows, the first in any case.
    pub rows: usize,
}

/// How prompts share a batch with verifications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// Prompts are never cut: whole ones join the batch in order of arrival, however long others
    /// then wait. What split inference does without chunked prefill.
    Whole,
    /// Prompts are cut so that a batch keeps to a budget.
    #[default]
    Chunked,
}

/// What a batch is held to, in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// How prompts take part.
    pub schedule: Schedule,
    /// Rows that prompts may fill a batch up to; not looked at by [`Schedule::Whole`].
    pub budget: usize,
    /// Rows that prompts together get where they wait at all, however many verifications there are;
    /// not looked at by [`Schedule::Whole`].
    pub quantum: usize,
    /// Most rows in a batch. The first append of the oldest verification, an uncut prompt that is
    /// the oldest, and the quantum run all the same.
    pub max_rows: usize,
}

/// Chooses the rows that run now: verifications, then prompts, each in order of arrival. Empty only
/// when there are no candidates.
///
/// Verifications come first, uncut, as many as `max_rows` holds beside the quantum; the first
/// always runs, held to that room where several of its appends follow each other. Then prompts:
///
/// - [`Schedule::Chunked`] gives them what is left of the budget, at least the quantum, and shares
///   it max-min fairly: nobody gets more than somebody who wants more gets, so that a short prompt
///   behind a long one is through at once. Rows that do not divide go to the earliest.
/// - [`Schedule::Whole`] takes them uncut while they fit `max_rows`, the first in any case.
///
/// Nothing starves: every batch holds the oldest verification and rows of the oldest prompt, so
/// whoever arrived earlier is done first or shares the batch.
#[must_use]
pub fn choose_batch(candidates: &[Candidate], limits: &BatchLimits) -> Vec<Share> {
    let of = |kind| {
        let mut indices: Vec<usize> = (0..candidates.len())
            .filter(|&i| candidates[i].kind == kind && candidates[i].rows > 0)
            .collect();
        indices.sort_by_key(|&i| candidates[i].arrival);
        indices
    };
    let share = |index: usize| Share { index, rows: candidates[index].rows };
    let (verifications, prompts) = (of(AppendKind::Verify), of(AppendKind::Prompt));
    let reserved = match limits.schedule {
        Schedule::Chunked if !prompts.is_empty() => limits.quantum.max(1),
        _ => 0,
    };
    let room = limits.max_rows.saturating_sub(reserved);
    let held = |share: Share| Share { rows: share.rows.min(room.max(1)), ..share };
    let (oldest, others) = verifications.split_at(verifications.len().min(1));
    let oldest = oldest.iter().map(|&index| held(share(index)));
    let mut batch = while_they_fit(oldest.chain(others.iter().map(|&index| share(index))), room);
    let taken = batch.iter().map(|share| share.rows).sum::<usize>();
    match limits.schedule {
        Schedule::Whole => batch.extend(while_they_fit(
            prompts.into_iter().map(share),
            limits.max_rows.saturating_sub(taken),
        )),
        Schedule::Chunked => {
            let room = limits.budget.min(limits.max_rows).saturating_sub(taken).max(reserved);
            batch.extend(fairly(prompts.into_iter().map(share), room));
        }
    }
    batch
}

/// The first share, and those behind it until one exceeds `room` rows: a smaller one behind that
/// must not overtake.
fn while_they_fit(shares: impl Iterator<Item = Share>, room: usize) -> Vec<Share> {
    let mut taken = 0_usize;
    let fits = |(place, share): &(usize, Share)| {
        taken = taken.saturating_add(share.rows);
        *place == 0 || taken <= room
    };
    shares.enumerate().take_while(fits).map(|(_, share)| share).collect()
}

/// Cuts `shares`, which are in order of arrival, so that they fill `room` rows max-min fairly.
fn fairly(shares: impl Iterator<Item = Share>, mut room: usize) -> Vec<Share> {
    let mut shares: Vec<Share> = shares.collect();
    // Least wanted last.
    let mut unserved: Vec<usize> = (0..shares.len()).collect();
    unserved.sort_by_key(|&place| std::cmp::Reverse(shares[place].rows));
    while let Some(&least) = unserved.last() {
        if shares[least].rows > room / unserved.len() {
            break;
        }
        room -= shares[least].rows;
        unserved.pop();
    }
    // Whoever is left wants more than an equal part, and gets that.
    unserved.sort_unstable();
    for (turn, &place) in unserved.iter().enumerate() {
        shares[place].rows = room / unserved.len() + usize::from(turn < room % unserved.len());
    }
    shares.retain(|share| share.rows > 0);
    shares
}

#[cfg(test)]
mod tests;
