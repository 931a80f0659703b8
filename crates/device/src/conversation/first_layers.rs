//! Shallow rows: computed, taken in by the drafter, and sent.

use super::{Conversation, progress::Progress};
use crate::{
    DeviceError, Link,
    link::all_finite,
    trace::{Direction, TraceEvent},
};
use std::time::{Duration, Instant};
use tricorn_core::{AppendHeader, AppendKind};

/// Rows of a prompt that the drafter takes in at a time: an answer that comes meanwhile waits for
/// no longer than these take.
const PIECE: usize = 32;

impl<L: Link> Conversation<'_, L> {
    /// Computes what is missing of the shallow rows at `pos..pos + rows`, and of those before them
    /// that the drafter still needs. The rows from the last confirmed token on are kept: a round
    /// that goes up row by row is drafted on from all of them. Gives the time it took.
    pub(super) fn shallow(
        &mut self,
        pos: usize,
        rows: usize,
        progress: &mut Progress<'_>,
    ) -> Result<Duration, DeviceError> {
        let last = self.session.tokens().len().saturating_sub(1);
        let from =
            self.drafts.as_ref().map_or(pos, |drafts| drafts.needs_from().min(pos)).min(last);
        let tokens = self.session.tokens_at(from, pos + rows - from);
        let held = self.window.reuse(from, tokens);
        if held == tokens.len() {
            return Ok(Duration::ZERO);
        }
        let (start, first, missing) = (Instant::now(), from + held, &tokens[held..]);
        let mut x = self.ends.input.forward_at(&mut self.input_kv, first, missing)?;
        self.ends.codec.round(&mut x);
        all_finite(&x, "first layers")?;
        self.window.put(first, missing, &x);
        if let Some(drafts) = &mut self.drafts {
            drafts.truncate(first);
        }
        let rows = missing.len();
        let time = self.pacer.finish(|pace| pace.shallow, rows, start);
        self.monitor.lock().shallow(rows, time);
        let start = progress.trace.at(start);
        progress.trace.push(TraceEvent::Shallow { pos: first, rows, start, end: start + time });
        Ok(time)
    }

    pub(super) fn append(
        &mut self,
        header: AppendHeader,
        progress: &mut Progress<'_>,
    ) -> Result<(), DeviceError> {
        let AppendHeader { pos, rows, kind, .. } = header;
        let turn = self.processor.turn();
        self.row_time = self.shallow(pos, rows, progress)?;
        drop(turn);
        let before = self.link.traffic().up;
        let at = Instant::now();
        self.link.send(header, self.window.rows(pos, rows))?;
        let bytes = self.link.traffic().up - before;
        progress.sent(header, bytes, at);
        self.monitor.lock().sent(rows, bytes);
        let at = progress.trace.at(at);
        progress.trace.push(TraceEvent::Sent { pos, rows, bytes, kind, at });
        progress.trace.crossed(Direction::Up, pos, bytes, self.window.rows(pos, rows));
        // Those of drafts are taken in as drafting goes on.
        if kind == AppendKind::Prompt {
            self.prompt_sent = header.end();
        }
        Ok(())
    }

    /// Has the drafter take in a few of the prompt's rows that were sent, for a device that has
    /// nothing else to do: whatever is not sent yet goes first. Gives whether there were any.
    pub(super) fn take_in_piece(&mut self) -> Result<bool, DeviceError> {
        let (Some(drafter), Some(drafts)) = (&self.ends.drafter, &mut self.drafts) else {
            return Ok(false);
        };
        let fed = drafts.fed();
        let rows = self.prompt_sent.saturating_sub(fed).min(PIECE);
        let shallow = self.window.rows(fed, rows);
        // A replay that was cut short has computed some of them anew, and not yet the rest.
        if shallow.is_empty() {
            return Ok(false);
        }
        let _turn = self.processor.turn();
        let start = Instant::now();
        drafts.prompt(drafter, fed + rows, shallow)?;
        self.pacer.finish(|pace| pace.take_in, rows, start);
        Ok(true)
    }
}
