//! Drafter cache: the drafter's KV cache, and the rows that it reads and guesses.

use super::rows::Rows;
use tricorn_model::{Drafter, KvCache, KvError, ModelError};

/// Rows that a drafter has taken in of a sequence.
///
/// A drafter that reads deep rows wants, for the row at position `p`, the last layer's row at `p -
/// 1`. While it drafts it has only its own guess of that; once the cloud has answered, the row is
/// fed again with the true one.
#[derive(Debug)]
pub(super) struct DrafterCache {
    kv: KvCache,
    /// Positions below are in the cache, for the tokens as they are.
    fed: usize,
    /// Positions below need not be fed again: nothing better will be known of the row before them.
    final_below: usize,
    /// The last layer's rows, as the cloud's answers gave them.
    deep: Rows,
    /// The drafter's guesses of them, made in this round.
    guessed: Rows,
    reads_deep: bool,
    hidden: usize,
}

impl DrafterCache {
    pub(super) fn new(drafter: &Drafter, kv: KvCache, hidden: usize) -> Self {
        let (deep, guessed) = (Rows::new(hidden), Rows::new(hidden));
        Self { kv, fed: 0, final_below: 0, deep, guessed, reads_deep: drafter.reads_deep(), hidden }
    }

    /// The position from which on shallow rows are still needed.
    pub(super) fn needs_from(&self) -> usize {
        if self.reads_deep { self.final_below.min(self.fed) } else { self.fed }
    }

    /// The rows from `pos` on are those of other tokens now.
    pub(super) fn truncate(&mut self, pos: usize) {
        self.fed = self.fed.min(pos);
        self.final_below = self.final_below.min(pos);
        self.guessed.truncate(pos);
        self.deep.truncate(pos);
    }

    /// A round is over: what was fed with guesses is to be fed again.
    pub(super) fn settle(&mut self) {
        if self.reads_deep {
            self.fed = self.fed.min(self.final_below);
        }
    }

    /// The last layer's rows at `pos..`, all of them of confirmed tokens.
    pub(super) fn answered(&mut self, pos: usize, rows: &[f32]) {
        if self.reads_deep {
            self.deep.put(pos, rows);
            self.deep.forget_before(self.final_below.saturating_sub(1));
        }
    }

    /// The first row that is not in the cache.
    pub(super) fn fed(&self) -> usize {
        self.fed
    }

    /// Takes in a prompt's shallow rows, from the first that is not in the cache to `end - 1`. No
    /// answer will carry the rows before them.
    pub(super) fn prompt(
        &mut self,
        drafter: &Drafter,
        end: usize,
        shallow: &[f32],
    ) -> Result<(), ModelError> {
        let previous = self.rows_before(self.fed, end);
        drafter.extend(&mut self.kv, self.fed, shallow, &previous)?;
        (self.fed, self.final_below) = (end, end);
        Ok(())
    }

    /// The first row to be fed for a draft at `pos`.
    pub(super) fn first_row(&self, pos: usize) -> usize {
        self.fed.min(pos - 1)
    }

    /// Takes in the shallow rows from [`first_row`](Self::first_row) to `pos - 1`, and gives the
    /// guess of the last layer's row at `pos - 1`.
    pub(super) fn guess(
        &mut self,
        drafter: &Drafter,
        pos: usize,
        shallow: &[f32],
    ) -> Result<Vec<f32>, ModelError> {
        let first = self.first_row(pos);
        let previous = self.rows_before(first, pos);
        let mut guesses = drafter.forward_at(&mut self.kv, first, shallow, &previous)?;
        self.fed = pos;
        if !self.reads_deep {
            self.final_below = pos;
        } else {
            while self.final_below < pos
                && self.final_below >= first
                && self.is_known(self.final_below)
            {
                self.final_below += 1;
            }
            self.guessed.put(first, &guesses);
        }
        Ok(guesses.split_off((pos - 1 - first) * self.hidden))
    }

    /// The best knowledge of the last layer's rows before positions `from..to`, zeros where nothing
    /// is; empty where the drafter does not read them.
    pub(super) fn rows_before(&self, from: usize, to: usize) -> Vec<f32> {
        let mut rows = Vec::new();
        for pos in if self.reads_deep { from..to } else { 0..0 } {
            match pos
                .checked_sub(1)
                .and_then(|before| self.deep.at(before).or_else(|| self.guessed.at(before)))
            {
                Some(row) => rows.extend_from_slice(row),
                None => rows.resize(rows.len() + self.hidden, 0.0),
            }
        }
        rows
    }

    /// Whether nothing better will be known of the row before `pos` than what was fed with it.
    fn is_known(&self, pos: usize) -> bool {
        // What lies before the answers held was a prompt's, and has none.
        pos == 0 || pos <= self.deep.start() || self.deep.at(pos - 1).is_some()
    }

    pub(super) fn fork(&self) -> Result<KvCache, KvError> {
        self.kv.fork()
    }

    /// Goes on with a continuation's cache, which holds the rows below `fed`; its last guess was
    /// `guess`.
    pub(super) fn adopt(&mut self, kv: KvCache, fed: usize, guess: &[f32]) {
        self.kv = kv;
        self.fed = fed;
        if self.reads_deep {
            self.guessed.put(fed - 1, guess);
        } else {
            self.final_below = fed;
        }
    }
}
