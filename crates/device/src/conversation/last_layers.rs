//! The cloud's answers: through the last layers and the head, and judged.

use super::{Conversation, progress::Progress};
use crate::{
    DeviceError, Event, Link,
    link::Answer,
    trace::{Direction, RoundTrace, TraceEvent},
};
use std::{ops::ControlFlow, time::Instant};
use tricorn_core::{Answered, Choice, DeepUse, Judgement};

impl<L: Link> Conversation<'_, L> {
    /// Takes in an answer; `awaited` when nothing else was done while it was on its way.
    pub(super) fn answer(
        &mut self,
        answer: Answer,
        awaited: bool,
        progress: &mut Progress<'_>,
    ) -> Result<ControlFlow<()>, DeviceError> {
        let Answer { header, mut rows, timing, pace, bytes } = answer;
        let received = Instant::now();
        let used = self.session.deep(header)?;
        let at = progress.trace.at(received);
        progress.trace.push(TraceEvent::Answered {
            pos: header.pos,
            rows: header.rows,
            bytes,
            at,
            timing,
        });
        progress.trace.crossed(Direction::Down, header.first_row_pos, bytes, &rows);
        if used == DeepUse::Stale {
            progress.outdated(received, self.link.deadline())?;
        } else {
            progress.outdated_since = None;
            self.session.set_now(at);
            self.session.timed(&timing, awaited);
        }
        if let Some(sent) = progress.answered(header) {
            let elapsed = sent.alone.then(|| received - sent.at);
            let mut monitor = self.monitor.lock();
            monitor.answered(Answered { bytes: sent.bytes, elapsed, awaited, timing, pace });
            self.session.set_conditions(monitor.conditions(self.row_bytes));
        }
        let turn =
            matches!(used, DeepUse::Extend | DeepUse::Judge { .. }).then(|| self.processor.turn());
        let start = Instant::now();
        if turn.is_some() {
            self.ends.output.forward_at(&mut self.output_kv, header.first_row_pos, &mut rows)?;
        }
        let DeepUse::Judge { first_row, pos } = used else {
            return Ok(ControlFlow::Continue(()));
        };
        // Only a token is progress: a cloud may well acknowledge a replay each time before it fails
        // again.
        progress.losses = 0;
        let rows = &rows[first_row * self.ends.hidden..];
        let mut logits = self.ends.output.logits(rows)?;
        let drafts = self.session.drafts().to_vec();
        self.pacer.finish(|pace| pace.head, rows.len() / self.ends.hidden, start);
        let (mut confirmed, mut settled) = (Vec::new(), None);
        for logits in logits.chunks_exact_mut(self.ends.output.vocab()) {
            let Choice { token, ends, logprobs } =
                progress.sampler.choose(logits, self.session.generated())?;
            confirmed.push(Event::Token {
                id: token,
                drafted: drafts.get(confirmed.len()) == Some(&token),
                logprobs,
            });
            match if ends { self.session.judge_last(token) } else { self.session.judge(token) } {
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
        drop(turn);
        let (start, end, crossed) =
            (progress.trace.at(start), progress.trace.now(), self.link.traffic());
        progress.trace.push(TraceEvent::Judged { start, end, tokens: confirmed.len() });
        let round = RoundTrace {
            elapsed: end,
            bytes_up: crossed.up - progress.before.up,
            bytes_down: crossed.down - progress.before.down,
            tokens: confirmed.len(),
            reused_tokens: self.session.stats().reused_tokens,
        };
        // What is confirmed is told even where nobody will hear of it.
        let told = progress.tell(Event::Round(round));
        let (flow, round) = progress.tokens(confirmed, settled.is_some());
        if let Some((tokens, time)) = round {
            self.monitor.lock().round(tokens, time);
        }
        Ok(if told.is_break() { told } else { flow })
    }
}
