//! A round's drafts.

use super::{Conversation, progress::Progress};
use crate::{DeviceError, Link, trace::TraceEvent};
use std::time::Instant;
use tricorn_core::Draft;

impl<L: Link> Conversation<'_, L> {
    /// Drafts the token at `pos`.
    pub(super) fn draft(
        &mut self,
        pos: usize,
        progress: &mut Progress<'_>,
    ) -> Result<(), DeviceError> {
        while self.take_in_piece()? {}
        let _turn = self.processor.turn();
        let start = self.step_start();
        let Some(mut logits) = self.draft_logits(pos, progress)? else {
            self.session.drafted(Draft::default());
            return Ok(());
        };
        let path = self.session.tokens_at(progress.prompt, pos - progress.prompt);
        let draft = progress.sampler.draft(&mut logits, path, progress.others);
        self.drafted(0, start, progress);
        self.session.drafted(draft);
        Ok(())
    }

    /// Says what the drafter holds possible at `pos`, the position after the last draft.
    pub(super) fn guess(
        &mut self,
        pos: usize,
        progress: &mut Progress<'_>,
    ) -> Result<(), DeviceError> {
        let _turn = self.processor.turn();
        let start = self.step_start();
        let mut logits = self.draft_logits(pos, progress)?.unwrap_or_default();
        let path = self.session.tokens_at(progress.prompt, pos - progress.prompt);
        let guesses = progress.sampler.guesses(&mut logits, path, progress.others);
        self.drafted(0, start, progress);
        self.session.guessed(guesses);
        self.fork()
    }

    /// When a draft step began: its row may have gone through the first layers before, to be sent,
    /// and that is part of the step.
    fn step_start(&mut self) -> Instant {
        let now = Instant::now();
        now.checked_sub(std::mem::take(&mut self.row_time)).unwrap_or(now)
    }

    /// The drafter's logits for position `pos`; `None` without a drafter.
    fn draft_logits(
        &mut self,
        pos: usize,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Vec<f32>>, DeviceError> {
        // The window keeps the rows from the last confirmed token on: they are uploaded.
        let first = self.session.tokens().len() - 1;
        self.shallow(first, pos - first, progress)?;
        let (Some(drafter), Some(drafts)) = (&self.ends.drafter, &mut self.drafts) else {
            return Ok(None);
        };
        let from = drafts.first_row(pos);
        let guess = drafts.guess(drafter, pos, self.window.rows(from, pos - from))?;
        Ok(Some(self.ends.output.logits(&guess)?))
    }

    /// A draft step that began at `start` is over.
    pub(super) fn drafted(&mut self, branches: usize, start: Instant, progress: &mut Progress<'_>) {
        let rows = branches.max(1);
        let time = self.pacer.finish(|pace| pace.draft, rows, start);
        self.monitor.lock().drafted(rows, time);
        let start = progress.trace.at(start);
        progress.trace.push(TraceEvent::Drafted { start, end: start + time, branches });
    }
}
