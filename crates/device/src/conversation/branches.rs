//! Continuations drafted while a verification is out.

use super::{Conversation, progress::Progress};
use crate::{DeviceError, Link, link::all_finite};
use std::time::{Duration, Instant};
use tricorn_model::{KvCache, SeqRows};

/// One continuation's caches, and the rows that were computed for it.
#[derive(Debug)]
pub(super) struct Side {
    input_kv: KvCache,
    drafter_kv: KvCache,
    /// Position of the first row: where the continuation parts from the round.
    pos: usize,
    tokens: Vec<u32>,
    rows: Vec<f32>,
    /// The drafter's last guess of the last layer's row; before the first step what is known of the
    /// one before `pos`.
    before: Vec<f32>,
}

impl<L: Link> Conversation<'_, L> {
    /// Drafts one token more for every open continuation, all in one batch.
    pub(super) fn branch(&mut self, progress: &mut Progress<'_>) -> Result<(), DeviceError> {
        let _turn = self.processor.turn();
        let start = Instant::now();
        let open: Vec<usize> = self.session.open_branches().collect();
        let (hidden, branches) = (self.ends.hidden, self.session.branches());
        let Some(drafter) = &self.ends.drafter else { return Ok(()) };
        let tokens: Vec<u32> = open
            .iter()
            .filter_map(|&index| branches.get(index))
            .map(|branch| branch.last_token())
            .collect();
        let mut sides: Vec<&mut Side> = self
            .sides
            .iter_mut()
            .enumerate()
            .filter(|(index, _)| open.contains(index))
            .map(|(_, s)| s)
            .collect();
        let position = |side: &Side| side.pos + side.tokens.len();

        let mut batch: Vec<SeqRows<'_>> = sides
            .iter_mut()
            .map(|side| SeqRows { pos: position(side), kv: &mut side.input_kv, rows: 1 })
            .collect();
        let mut x = self.ends.input.forward_batch(&mut batch, &tokens)?;
        self.ends.codec.round(&mut x);
        all_finite(&x, "first layers")?;
        let before = sides.iter().flat_map(|side| &side.before).copied().collect::<Vec<f32>>();
        let mut batch: Vec<SeqRows<'_>> = sides
            .iter_mut()
            .map(|side| SeqRows { pos: position(side), kv: &mut side.drafter_kv, rows: 1 })
            .collect();
        let guesses = drafter.forward(&mut batch, &x, &before)?;
        let mut logits = self.ends.output.logits(&guesses)?;

        let results = tokens.iter().zip(x.chunks_exact(hidden)).zip(guesses.chunks_exact(hidden));
        for (side, ((&token, row), guess)) in sides.iter_mut().zip(results) {
            side.tokens.push(token);
            side.rows.extend_from_slice(row);
            if drafter.reads_deep() {
                side.before = guess.to_vec();
            }
        }
        let mut drafts = Vec::with_capacity(sides.len());
        for (side, logits) in sides.iter().zip(logits.chunks_exact_mut(self.ends.output.vocab())) {
            let path =
                [self.session.tokens_at(progress.prompt, side.pos - progress.prompt), &side.tokens]
                    .concat();
            drafts.push(progress.sampler.draft(logits, &path, progress.others));
        }
        self.drafted(open.len(), start, progress);
        self.session.branched(drafts);
        Ok(())
    }

    /// Gives every continuation caches of its own. Right after the guess that they come from: a
    /// replay may take the conversation's own caches back to where a continuation cannot begin.
    pub(super) fn fork(&mut self) -> Result<(), DeviceError> {
        let Some(drafts) = &self.drafts else { return Ok(()) };
        self.sides.clear();
        for branch in self.session.branches() {
            let (input_kv, drafter_kv) = (
                self.input_kv.fork().map_err(tricorn_model::ModelError::from)?,
                drafts.fork().map_err(tricorn_model::ModelError::from)?,
            );
            let before = drafts.rows_before(branch.pos, branch.pos + 1);
            self.sides.push(Side {
                input_kv,
                drafter_kv,
                pos: branch.pos,
                tokens: Vec::new(),
                rows: Vec::new(),
                before,
            });
        }
        Ok(())
    }

    /// A round is over, and goes on with continuation `branch` where there is one.
    pub(super) fn settle(&mut self, branch: Option<usize>) {
        self.row_time = Duration::ZERO;
        let mut sides = std::mem::take(&mut self.sides);
        let Some(drafts) = &mut self.drafts else { return };
        match branch.filter(|&index| index < sides.len()).map(|index| sides.swap_remove(index)) {
            Some(Side { input_kv, drafter_kv, pos, tokens, rows, before }) => {
                self.input_kv = input_kv;
                self.window.put(pos, &tokens, &rows);
                drafts.adopt(drafter_kv, pos + tokens.len(), &before);
            }
            None => drafts.settle(),
        }
    }
}
