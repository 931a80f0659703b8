//! Drafting: the drafter of a conversation, with its cache, its backlog and its continuations.

use super::{
    branches::{BranchCaches, Branches},
    drafter_cache::DrafterCache,
    first_layers::{BranchRows, FirstLayers},
};
use crate::parts::DeviceParts;
use std::{ops::Range, time::Duration};
use tricorn_core::{Branch, driver::TakeIn};
use tricorn_model::{Drafter, ModelError};

/// The drafter's side of a conversation.
#[derive(Debug)]
pub(super) struct Drafting<'p> {
    parts: &'p DeviceParts,
    drafter: &'p Drafter,
    cache: DrafterCache,
    backlog: TakeIn,
    branches: Branches,
    /// Time of the first layers for the rows sent last, as long as nothing was drafted from them.
    row_time: Duration,
}

impl<'p> Drafting<'p> {
    pub(super) fn new(parts: &'p DeviceParts, drafter: &'p Drafter, context: usize) -> Self {
        Self {
            parts,
            drafter,
            cache: DrafterCache::new(drafter, drafter.new_kv(&parts.pool, context), parts.hidden),
            backlog: TakeIn::default(),
            branches: Branches::default(),
            row_time: Duration::ZERO,
        }
    }

    /// Another turn begins: nothing of its prompt is sent, and no round is under way.
    pub(super) fn begin_turn(&mut self) {
        self.backlog = TakeIn::default();
        self.settle(None);
    }

    /// The position from which on shallow rows are still needed.
    pub(super) fn needs_from(&self) -> usize {
        self.cache.needs_from()
    }

    /// The rows from `pos` on are those of other tokens now.
    pub(super) fn truncate(&mut self, pos: usize) {
        self.cache.truncate(pos);
    }

    /// The rows of an append took the first layers so long.
    pub(super) fn row_computed(&mut self, time: Duration) {
        self.row_time = time;
    }

    /// When a draft step began that is at `now`: its row may have gone through the first layers
    /// before, to be sent, and that is part of the step.
    pub(super) fn step_start(&mut self, now: Duration) -> Duration {
        now.saturating_sub(std::mem::take(&mut self.row_time))
    }

    /// The prompt was sent up to row `end`.
    pub(super) fn prompt_sent(&mut self, end: usize) {
        self.backlog.sent(end);
    }

    /// The prompt's rows to take in next, of those that are `held`.
    pub(super) fn piece(&self, held: Range<usize>) -> Option<Range<usize>> {
        self.backlog.piece(self.cache.fed(), held)
    }

    /// Takes in a prompt's shallow rows up to `end - 1`.
    pub(super) fn take_in(&mut self, end: usize, rows: &[f32]) -> Result<(), ModelError> {
        self.cache.prompt(self.drafter, end, rows)
    }

    /// The drafter's guess of the last layer's row at `pos - 1`.
    pub(super) fn guess(
        &mut self,
        pos: usize,
        first: &FirstLayers<'_>,
    ) -> Result<Vec<f32>, ModelError> {
        let from = self.cache.first_row(pos);
        self.cache.guess(self.drafter, pos, first.rows(from, pos - from))
    }

    /// Begins the session's continuations, right after the guess that they come from.
    pub(super) fn fork(
        &mut self,
        first: &FirstLayers<'_>,
        branches: &[Branch],
    ) -> Result<(), ModelError> {
        self.branches.fork(first, &self.cache, branches)
    }

    /// Takes in the last token of each of the `open` continuations, and gives the drafter's guesses
    /// of the last layer's rows there.
    pub(super) fn branch(
        &mut self,
        open: &[usize],
        branches: &[Branch],
    ) -> Result<Vec<f32>, ModelError> {
        let last = open.iter().filter_map(|&index| branches.get(index)).map(Branch::last_token);
        self.branches.extend(self.parts, self.drafter, open, &last.collect::<Vec<u32>>())
    }

    /// The position where each of the `open` continuations parts from the round, and its tokens.
    pub(super) fn branch_paths(&self, open: &[usize]) -> impl Iterator<Item = (usize, &[u32])> {
        self.branches.paths(open)
    }

    /// The last layer's rows at `pos..`, all of them of confirmed tokens.
    pub(super) fn answered(&mut self, pos: usize, rows: &[f32]) {
        self.cache.answered(pos, rows);
    }

    /// A round is over. Where it goes on with continuation `branch`, gives the rows that the first
    /// layers go on with.
    pub(super) fn settle(&mut self, branch: Option<usize>) -> Option<BranchRows> {
        self.row_time = Duration::ZERO;
        match self.branches.take(branch) {
            Some(BranchCaches { shallow, drafter_kv, before }) => {
                self.cache.adopt(drafter_kv, shallow.end(), &before);
                Some(shallow)
            }
            None => {
                self.cache.settle();
                None
            }
        }
    }
}
