//! Device side: computes the steps that a session asks for, with the device's parts and its time.

use super::{
    compute::Compute,
    drafting::Drafting,
    first_layers::FirstLayers,
    judging::{Verdict, judge},
    last_layers::LastLayers,
    running::RunningTurn,
};
use crate::{
    error::DeviceError,
    parts::DeviceParts,
    turn::{Event, Options},
};
use std::{ops::Range, time::Duration};
use tricorn_core::{AppendHeader, AppendKind, DeviceSession, Draft};

/// The parts that a conversation computes with.
#[derive(Debug)]
pub(super) struct DeviceSide<'p> {
    first: FirstLayers<'p>,
    last: LastLayers<'p>,
    drafting: Option<Drafting<'p>>,
    pub(super) compute: Compute,
}

/// An answer's tokens.
pub(super) struct Judged {
    /// The tokens confirmed, as events to tell.
    pub(super) tokens: Vec<Event>,
    /// The round is over.
    pub(super) settled: bool,
    /// The time at which judging began.
    pub(super) start: Duration,
}

impl<'p> DeviceSide<'p> {
    /// Empty caches for sequences of at most `context` tokens.
    pub(super) fn new(parts: &'p DeviceParts, context: usize, options: Options) -> Self {
        Self {
            first: FirstLayers::new(parts, context),
            last: LastLayers::new(parts, context),
            drafting: parts.drafter().map(|drafter| Drafting::new(parts, drafter, context)),
            compute: Compute::new(options, parts.row_bytes()),
        }
    }

    pub(super) fn drafts(&self) -> bool {
        self.drafting.is_some()
    }

    /// Another turn begins.
    pub(super) fn begin_turn(&mut self) {
        if let Some(drafting) = &mut self.drafting {
            drafting.begin_turn();
        }
    }

    /// The prompt's rows that the drafter could take in next.
    pub(super) fn piece(&self) -> Option<Range<usize>> {
        self.drafting.as_ref()?.piece(self.first.held())
    }

    /// The shallow rows of an append that is to be sent.
    pub(super) fn append_rows(
        &mut self,
        header: AppendHeader,
        session: &DeviceSession,
        turn: &mut RunningTurn<'_>,
    ) -> Result<&[f32], DeviceError> {
        let lease = self.compute.lease();
        let time = self.shallow(header.pos, header.rows, session, turn)?;
        drop(lease);
        if let Some(drafting) = &mut self.drafting {
            drafting.row_computed(time);
        }
        Ok(self.first.rows(header.pos, header.rows))
    }

    /// An append was sent.
    pub(super) fn sent(&mut self, header: AppendHeader, bytes: u64) {
        self.compute.sent(header.rows, bytes);
        if let Some(drafting) = self.drafting.as_mut().filter(|_| header.kind == AppendKind::Prompt)
        {
            drafting.prompt_sent(header.end());
        }
    }

    /// Computes what is missing of the shallow rows at `pos..pos + rows`, and of those before them
    /// that the drafter still needs. The rows from the last confirmed token on are kept: a round
    /// that goes up row by row is drafted on from all of them. Gives the time it took.
    fn shallow(
        &mut self,
        pos: usize,
        rows: usize,
        session: &DeviceSession,
        turn: &mut RunningTurn<'_>,
    ) -> Result<Duration, DeviceError> {
        let last = session.tokens().len().saturating_sub(1);
        let needed = self.drafting.as_ref().map_or(pos, Drafting::needs_from);
        let from = needed.min(pos).min(last);
        let tokens = session.tokens_at(from, pos + rows - from);
        let missing = self.first.missing(from, tokens);
        if missing.is_empty() {
            return Ok(Duration::ZERO);
        }
        let start = turn.clock.now();
        self.first.compute(missing.start, &tokens[missing.start - from..])?;
        if let Some(drafting) = &mut self.drafting {
            drafting.truncate(missing.start);
        }
        let time = self.compute.shallow(missing.len(), &turn.clock, start);
        turn.recorder.shallow(missing, start, time);
        Ok(time)
    }

    /// Lets the drafter take in some of the prompt's rows.
    pub(super) fn take_in(
        &mut self,
        rows: Range<usize>,
        turn: &mut RunningTurn<'_>,
    ) -> Result<(), DeviceError> {
        let Some(drafting) = &mut self.drafting else { return Ok(()) };
        let _lease = self.compute.lease();
        let start = turn.clock.now();
        drafting.take_in(rows.end, self.first.rows(rows.start, rows.len()))?;
        self.compute.taken_in(rows.len(), &turn.clock, start);
        Ok(())
    }

    /// Drafts the token at `pos`.
    pub(super) fn draft(
        &mut self,
        pos: usize,
        session: &mut DeviceSession,
        turn: &mut RunningTurn<'_>,
    ) -> Result<(), DeviceError> {
        let _lease = self.compute.lease();
        let Some((start, mut logits)) = self.draft_logits(pos, session, turn)? else {
            session.drafted(Draft::default());
            return Ok(());
        };
        let path = session.tokens_at(turn.prompt, pos - turn.prompt);
        let draft = turn.sampler.draft(&mut logits, path, turn.alternatives);
        self.drafted(0, start, turn);
        session.drafted(draft);
        Ok(())
    }

    /// Says what the drafter holds possible at `pos`, the position after the last draft.
    pub(super) fn guess(
        &mut self,
        pos: usize,
        session: &mut DeviceSession,
        turn: &mut RunningTurn<'_>,
    ) -> Result<(), DeviceError> {
        let _lease = self.compute.lease();
        let Some((start, mut logits)) = self.draft_logits(pos, session, turn)? else {
            session.guessed(Vec::new());
            return Ok(());
        };
        let path = session.tokens_at(turn.prompt, pos - turn.prompt);
        let guesses = turn.sampler.guesses(&mut logits, path, turn.alternatives);
        self.drafted(0, start, turn);
        session.guessed(guesses);
        if let Some(drafting) = &mut self.drafting {
            drafting.fork(&self.first, session.branches())?;
        }
        Ok(())
    }

    /// When the step began, and the drafter's logits for position `pos`; `None` without a drafter.
    fn draft_logits(
        &mut self,
        pos: usize,
        session: &DeviceSession,
        turn: &mut RunningTurn<'_>,
    ) -> Result<Option<(Duration, Vec<f32>)>, DeviceError> {
        let Some(drafting) = &mut self.drafting else { return Ok(None) };
        let start = drafting.step_start(turn.clock.now());
        // The window keeps the rows from the last confirmed token on: they are uploaded.
        let first = session.tokens().len() - 1;
        self.shallow(first, pos - first, session, turn)?;
        let Some(drafting) = &mut self.drafting else { return Ok(None) };
        let guess = drafting.guess(pos, &self.first)?;
        Ok(Some((start, self.last.logits(&guess)?)))
    }

    /// Drafts one token more for every open continuation, all in one batch.
    pub(super) fn branch(
        &mut self,
        session: &mut DeviceSession,
        turn: &mut RunningTurn<'_>,
    ) -> Result<(), DeviceError> {
        let _lease = self.compute.lease();
        let start = turn.clock.now();
        let Some(drafting) = &mut self.drafting else { return Ok(()) };
        let open: Vec<usize> = session.open_branches().collect();
        let guesses = drafting.branch(&open, session.branches())?;
        let mut logits = self.last.logits(&guesses)?;
        let mut drafts = Vec::with_capacity(open.len());
        let ways = drafting.branch_paths(&open).zip(logits.chunks_exact_mut(self.last.vocab()));
        for ((pos, tokens), logits) in ways {
            let common = session.tokens_at(turn.prompt, pos - turn.prompt);
            let path = [common, tokens].concat();
            drafts.push(turn.sampler.draft(logits, &path, turn.alternatives));
        }
        self.drafted(open.len(), start, turn);
        session.branched(drafts);
        Ok(())
    }

    /// A draft step that began at `start` is over.
    fn drafted(&mut self, branches: usize, start: Duration, turn: &mut RunningTurn<'_>) {
        let time = self.compute.drafted(branches.max(1), &turn.clock, start);
        turn.recorder.drafted(branches, start, time);
    }

    /// Takes in an answer's rows that decide nothing.
    pub(super) fn extend(&mut self, pos: usize, mut rows: Vec<f32>) -> Result<(), DeviceError> {
        let _lease = self.compute.lease();
        Ok(self.last.extend(pos, &mut rows)?)
    }

    /// Judges an answer's rows, which begin at `row_pos`: from row `first` on they decide the
    /// tokens from `pos` on.
    pub(super) fn judge(
        &mut self,
        (row_pos, mut rows): (usize, Vec<f32>),
        (first, pos): (usize, usize),
        session: &mut DeviceSession,
        turn: &mut RunningTurn<'_>,
    ) -> Result<Judged, DeviceError> {
        let _lease = self.compute.lease();
        let start = turn.clock.now();
        self.last.extend(row_pos, &mut rows)?;
        turn.recovery.progressed();
        let hidden = self.last.hidden();
        let rows = &rows[first * hidden..];
        let mut logits = self.last.logits(rows)?;
        self.compute.judged(logits.len() / self.last.vocab(), &turn.clock, start);
        let logits = logits.chunks_exact_mut(self.last.vocab());
        let Verdict { tokens, settled } = judge(session, &mut turn.sampler, logits)?;
        if let Some(drafting) = &mut self.drafting {
            drafting.answered(pos - 1, &rows[..tokens.len() * hidden]);
            if let Some(taken) = settled.and_then(|branch| drafting.settle(branch)) {
                self.first.adopt(taken);
            }
        }
        Ok(Judged { tokens, settled: settled.is_some(), start })
    }
}
