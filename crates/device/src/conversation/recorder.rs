//! The clock's and counters' side of a turn under way.

use crate::{
    Control, Event,
    link::{LinkError, Traffic},
    trace::Trace,
};
use std::{
    collections::VecDeque,
    ops::ControlFlow,
    time::{Duration, Instant},
};
use tricorn_core::{AppendHeader, DeepHeader, DraftPolicy, Sampler};

pub(super) struct Progress<'f> {
    on_event: &'f mut dyn FnMut(Event) -> ControlFlow<()>,
    pub(super) control: &'f Control,
    /// What had crossed the wire before the turn.
    pub(super) before: Traffic,
    pub(super) sampler: Sampler,
    /// Tokens that the turn began with.
    pub(super) prompt: usize,
    /// Alternatives to look for at each draft.
    pub(super) others: usize,
    started: Instant,
    last: Option<Instant>,
    pub(super) ttft: Duration,
    pub(super) gaps: Vec<Duration>,
    /// Losses without a token in between.
    pub(super) losses: usize,
    /// Since when nothing has come but answers to what was given up.
    pub(super) outdated_since: Option<Instant>,
    pub(super) trace: Trace,
    sent: VecDeque<Sent>,
    round: Option<Round>,
}

/// An append on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) header: AppendHeader,
    pub(super) bytes: u64,
    pub(super) at: Instant,
    /// Nothing else was on its way.
    pub(super) alone: bool,
}

/// The verification round under way.
struct Round {
    started: Instant,
    tokens: usize,
}

impl<'f> Progress<'f> {
    pub(super) fn new(
        sampler: Sampler,
        prompt: usize,
        draft: DraftPolicy,
        control: &'f Control,
        before: Traffic,
        on_event: &'f mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Self {
        let started = Instant::now();
        Self {
            on_event,
            control,
            before,
            sampler,
            prompt,
            others: if draft.parallel > 0 {
                draft.parallel.min(DraftPolicy::MAX_PARALLEL) + 1
            } else {
                0
            },
            started,
            last: None,
            ttft: Duration::ZERO,
            gaps: Vec::new(),
            losses: 0,
            outdated_since: None,
            trace: Trace::new(started, control.samples),
            sent: VecDeque::new(),
            round: None,
        }
    }

    pub(super) fn tell(&mut self, event: Event) -> ControlFlow<()> {
        (self.on_event)(event)
    }

    pub(super) fn sent(&mut self, header: AppendHeader, bytes: u64, at: Instant) {
        let alone = self.sent.is_empty();
        self.sent.push_back(Sent { header, bytes, at, alone });
    }

    /// The append that is answered; those before it were given up.
    pub(super) fn answered(&mut self, answer: DeepHeader) -> Option<Sent> {
        let index = self.sent.iter().position(|sent| sent.header.answer() == answer)?;
        self.sent.drain(..=index).next_back()
    }

    /// An answer has come to what was given up.
    ///
    /// # Errors
    /// When nothing else has come within the link's `deadline`: a cloud that sends only such would
    /// be waited for for ever.
    pub(super) fn outdated(&mut self, now: Instant, deadline: Duration) -> Result<(), LinkError> {
        let since = *self.outdated_since.get_or_insert(now);
        if now - since > deadline {
            return Err(LinkError::Lost(
                "the cloud answers nothing but what was given up".to_owned(),
            ));
        }
        Ok(())
    }

    pub(super) fn forget_sent(&mut self) {
        self.outdated_since = None;
        self.sent.clear();
    }

    /// Tokens of an answer, in order; one that ends its round gives the round's tokens and time,
    /// unless it was a prompt's.
    pub(super) fn tokens(
        &mut self,
        confirmed: Vec<Event>,
        settled: bool,
    ) -> (ControlFlow<()>, Option<(usize, Duration)>) {
        let now = Instant::now();
        match self.last {
            None => self.ttft = now - self.started,
            Some(last) => {
                let share = (now - last) / u32::try_from(confirmed.len()).unwrap_or(u32::MAX);
                self.gaps.extend(confirmed.iter().map(|_| share));
            }
        }
        self.last = Some(now);
        let mut over = None;
        if let Some(round) = &mut self.round {
            round.tokens += confirmed.len();
            over = settled.then(|| (round.tokens, now - round.started));
        }
        if settled {
            self.round = Some(Round { started: now, tokens: 0 });
        }
        let flow = confirmed.into_iter().try_for_each(|event| (self.on_event)(event));
        (flow, over)
    }
}
