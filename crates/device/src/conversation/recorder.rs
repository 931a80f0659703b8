//! Recorder: the trace, the times and the traffic of a turn.

use crate::{
    transport::{Answer, Traffic},
    turn::{Crossed, Direction, RoundTrace, Trace, TraceEvent, TurnReport},
};
use std::{ops::Range, time::Duration};
use tricorn_core::{
    AppendHeader, DeviceSession, FinishReason,
    driver::{RoundTime, TokenTimes},
};

/// Records what a turn does. Times count from its start.
#[derive(Debug)]
pub(super) struct Recorder {
    trace: Trace,
    times: TokenTimes,
    /// Traffic before the turn.
    before: Traffic,
}

impl Recorder {
    pub(super) fn new(before: Traffic, samples: bool) -> Self {
        Self { trace: Trace::new(samples), times: TokenTimes::default(), before }
    }

    /// Shallow rows at these positions were computed.
    pub(super) fn shallow(&mut self, rows: Range<usize>, start: Duration, time: Duration) {
        let (pos, rows, end) = (rows.start, rows.len(), start + time);
        self.trace.push(TraceEvent::Shallow { pos, rows, start, end });
    }

    /// An append of these rows was handed to the transport.
    pub(super) fn sent(&mut self, header: AppendHeader, bytes: u64, at: Duration, rows: &[f32]) {
        let AppendHeader { pos, rows: count, kind, .. } = header;
        self.trace.push(TraceEvent::Sent { pos, rows: count, bytes, kind, at });
        self.trace.crossed(Direction::Up, pos, bytes, rows);
    }

    /// An answer was taken in.
    pub(super) fn answered(&mut self, answer: &Answer, at: Duration) {
        let &Answer { header, timing, bytes, .. } = answer;
        let (pos, rows) = (header.pos, header.rows);
        self.trace.push(TraceEvent::Answered { pos, rows, bytes, at, timing });
        self.trace.crossed(Direction::Down, header.first_row_pos, bytes, &answer.rows);
    }

    /// A draft step is over.
    pub(super) fn drafted(&mut self, branches: usize, start: Duration, time: Duration) {
        self.trace.push(TraceEvent::Drafted { start, end: start + time, branches });
    }

    /// An answer was judged and confirmed `tokens`; `now` is the traffic so far.
    pub(super) fn judged(
        &mut self,
        tokens: usize,
        (start, end): (Duration, Duration),
        now: Traffic,
        reused_tokens: usize,
    ) -> RoundTrace {
        self.trace.push(TraceEvent::Judged { start, end, tokens });
        let Traffic { up, down } = now.since(self.before);
        RoundTrace { elapsed: end, bytes_up: up, bytes_down: down, tokens, reused_tokens }
    }

    /// Tokens are about to be told. Gives the round's tokens and time where it is over.
    pub(super) fn confirmed(
        &mut self,
        now: Duration,
        tokens: usize,
        settled: bool,
    ) -> Option<RoundTime> {
        self.times.confirmed(now, tokens, settled)
    }

    /// Traffic and samples of a turn that failed; `now` is the traffic so far.
    pub(super) fn crossed(mut self, now: Traffic) -> Crossed {
        Crossed { traffic: now.since(self.before), wire: self.trace.take_samples() }
    }

    /// The figures of a turn that ended.
    pub(super) fn report(
        mut self,
        finish: FinishReason,
        session: &DeviceSession,
        now: Traffic,
        overruns: usize,
    ) -> TurnReport {
        let traffic = now.since(self.before);
        TurnReport {
            token_ids: session.generated().to_vec(),
            finish,
            stats: *session.stats(),
            ttft: self.times.ttft(),
            gaps: self.times.gaps().to_vec(),
            trace: self.trace.take(),
            wire: self.trace.take_samples(),
            bytes_up: traffic.up,
            bytes_down: traffic.down,
            overruns,
        }
    }
}
