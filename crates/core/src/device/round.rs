//! Round of verification: its drafts, their chances, and the continuations drafted meanwhile.

use super::{Branch, Draft};

/// The drafts after a confirmed token, until the target has disagreed with one or gone beyond them.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Position of the first draft.
    pub(super) first: usize,
    /// No draft is made at this position or beyond.
    pub(super) end: usize,
    /// All drafts, those confirmed meanwhile included.
    pub(super) drafts: Vec<Draft>,
    /// No further draft.
    pub(super) closed: bool,
    /// Rows go up as they come to be.
    pub(super) stream: bool,
    /// Some of its rows have been answered.
    pub(super) answered: bool,
    pub(super) branching: Branching,
}

/// Parallel drafting within a round.
#[derive(Debug, Default)]
pub(super) enum Branching {
    /// It begins, if at all, when all rows are on their way.
    #[default]
    NotYet,
    /// Under way.
    Under { branches: Vec<Branch>, steps_left: usize },
}

impl Round {
    /// The draft at `pos`.
    pub(super) fn draft_at(&self, pos: usize) -> Option<&Draft> {
        self.drafts.get(pos.checked_sub(self.first)?)
    }

    pub(super) fn branches(&self) -> &[Branch] {
        match &self.branching {
            Branching::Under { branches, .. } => branches,
            Branching::NotYet => &[],
        }
    }
}
