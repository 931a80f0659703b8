//! Continuations drafted while a verification is out: their caches and rows.

use super::{
    drafter_cache::DrafterCache,
    first_layers::{BranchRows, FirstLayers},
};
use crate::parts::DeviceParts;
use tricorn_core::Branch;
use tricorn_model::{Drafter, KvCache, ModelError, SeqRows};

/// The continuations under way, in the session's order.
#[derive(Debug, Default)]
pub(super) struct Branches(Vec<BranchCaches>);

/// Caches of one continuation, and the rows that were computed for it.
#[derive(Debug)]
pub(super) struct BranchCaches {
    pub(super) shallow: BranchRows,
    pub(super) drafter_kv: KvCache,
    /// The drafter's last guess of the last layer's row; before the first step what is known of the
    /// one before the continuation.
    pub(super) before: Vec<f32>,
}

impl Branches {
    /// Gives every continuation caches of its own. Right after the guess that they come from: a
    /// replay may take the conversation's own caches back to where a continuation cannot begin.
    pub(super) fn fork(
        &mut self,
        first: &FirstLayers<'_>,
        cache: &DrafterCache,
        branches: &[Branch],
    ) -> Result<(), ModelError> {
        self.0.clear();
        for branch in branches {
            self.0.push(BranchCaches {
                shallow: first.fork(branch.pos)?,
                drafter_kv: cache.fork()?,
                before: cache.rows_before(branch.pos, branch.pos + 1),
            });
        }
        Ok(())
    }

    /// Takes in one token more for each of the `open` continuations, all in one batch. Gives the
    /// drafter's guesses of the last layer's rows.
    pub(super) fn extend(
        &mut self,
        parts: &DeviceParts,
        drafter: &Drafter,
        open: &[usize],
        tokens: &[u32],
    ) -> Result<Vec<f32>, ModelError> {
        let mut caches: Vec<&mut BranchCaches> = self.open_mut(open).collect();
        let mut batch: Vec<SeqRows<'_>> =
            caches.iter_mut().map(|caches| caches.shallow.next_row()).collect();
        let rows = parts.shallow_batch(&mut batch, tokens)?;
        let before: Vec<f32> = caches.iter().flat_map(|caches| &caches.before).copied().collect();
        let mut batch: Vec<SeqRows<'_>> = caches
            .iter_mut()
            .map(|caches| SeqRows {
                pos: caches.shallow.end(),
                kv: &mut caches.drafter_kv,
                rows: 1,
            })
            .collect();
        let guesses = drafter.forward(&mut batch, &rows, &before)?;
        let results = rows.chunks_exact(parts.hidden).zip(guesses.chunks_exact(parts.hidden));
        for ((caches, &token), (row, guess)) in caches.iter_mut().zip(tokens).zip(results) {
            caches.shallow.tokens.push(token);
            caches.shallow.rows.extend_from_slice(row);
            if drafter.reads_deep() {
                caches.before = guess.to_vec();
            }
        }
        Ok(guesses)
    }

    /// The position where each of the `open` continuations parts from the round, and its tokens.
    pub(super) fn paths(&self, open: &[usize]) -> impl Iterator<Item = (usize, &[u32])> {
        let caches = self.0.iter().enumerate().filter(|(index, _)| open.contains(index));
        caches.map(|(_, BranchCaches { shallow, .. })| (shallow.pos, &shallow.tokens[..]))
    }

    /// The caches of continuation `branch`; those of the others go.
    pub(super) fn take(&mut self, branch: Option<usize>) -> Option<BranchCaches> {
        let mut all = std::mem::take(&mut self.0);
        branch.filter(|&index| index < all.len()).map(|index| all.swap_remove(index))
    }

    fn open_mut(&mut self, open: &[usize]) -> impl Iterator<Item = &mut BranchCaches> {
        let caches = self.0.iter_mut().enumerate().filter(|(index, _)| open.contains(index));
        caches.map(|(_, caches)| caches)
    }
}
