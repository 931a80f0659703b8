//! The cloud's answers: through the last layers and the head, and judged.

use super::{Conversation, progress::Progress};
use crate::{DeviceError, Event, Link, link::Answer, trace::TraceEvent};
use std::{ops::ControlFlow, time::Instant};
use tricorn_core::{Answered, DeepUse, Judgement, choose};

impl<L: Link> Conversation<'_, L> {
    /// Takes in an answer; `awaited` when nothing else was done while it was on its way.
    pub(super) fn answer(&mut self, answer: Answer, awaited: bool, progress: &mut Progress<'_>) -> Result<ControlFlow<()>, DeviceError> {
        let Answer { header, mut rows, timing, pace, .. } = answer;
        let start = Instant::now();
        let used = self.session.deep(header)?;
        let at = progress.trace.at(start);
        progress.trace.push(TraceEvent::Answered { pos: header.pos, rows: header.rows, at, timing });
        if used != DeepUse::Stale {
            self.session.set_now(at);
            self.session.timed(&timing, awaited);
        }
        if let Some(sent) = progress.answered(header) {
            let elapsed = sent.alone.then(|| start - sent.at);
            let mut monitor = self.monitor.lock();
            monitor.answered(Answered { bytes: sent.bytes, elapsed, awaited, timing, pace });
            self.session.set_conditions(monitor.conditions(self.row_bytes));
        }
        if matches!(used, DeepUse::Extend | DeepUse::Judge { .. }) {
            self.ends.output.forward_at(&mut self.output_kv, header.first_row_pos, &mut rows)?;
        }
        let DeepUse::Judge { first_row, pos } = used else {
            return Ok(ControlFlow::Continue(()));
        };
        // Only a token is progress: a cloud may well acknowledge a replay each time before it fails again.
        progress.losses = 0;
        let rows = &rows[first_row * self.ends.hidden..];
        let logits = self.ends.output.logits(rows)?;
        let drafts = self.session.drafts().to_vec();
        self.pacer.finish(|pace| pace.head, rows.len() / self.ends.hidden, start);
        let (mut confirmed, mut settled) = (Vec::new(), None);
        for (pos, logits) in (pos..).zip(logits.chunks_exact(self.ends.output.vocab())) {
            let token = choose(logits, &progress.sampling, pos);
            confirmed.push(Event::Token { id: token, drafted: drafts.get(confirmed.len()) == Some(&token) });
            match self.session.judge(token) {
                Judgement::Accepted => {}
                Judgement::Pending => break,
                Judgement::Settled { branch } => {
                    settled = Some(branch);
                    break;
                }
            }
        }
        if let Some(drafts) = &mut self.drafts {
            drafts.answered(pos - 1, &rows[..confirmed.len() * self.ends.hidden]);
        }
        if let Some(branch) = settled {
            self.settle(branch);
        }
        let end = progress.trace.now();
        progress.trace.push(TraceEvent::Judged { start: at, end, tokens: confirmed.len() });
        let (flow, round) = progress.tokens(&confirmed, settled.is_some());
        if let Some((tokens, time)) = round {
            self.monitor.lock().round(tokens, time);
        }
        Ok(flow)
    }
}
