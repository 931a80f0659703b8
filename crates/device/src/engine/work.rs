//! Work: a request while it is generated, with the cloud or without.

use super::{
    output::{
        outlet::Outlet,
        text::GeneratedText,
        update::{Finish, Finished, TextToken, Update},
    },
    request::GenerationRequest,
    resources::Resources,
};
use crate::{
    constraint::Grammar,
    conversation::offline::{self, OfflineTurn},
    error::DeviceError,
    turn::{Control, Crossed, Event, RoundTrace, TurnReport},
};
use std::{ops::ControlFlow, time::Instant};
use tricorn_core::{FinishReason, Logprobs, Sampler};

/// Whoever hears of a turn's events.
type OnEvent<'a> = &'a mut dyn FnMut(Event) -> ControlFlow<()>;

/// A request being generated.
pub(super) struct Work<'a> {
    pub(super) resources: &'a Resources,
    pub(super) request: GenerationRequest,
    /// Tokens so far.
    pub(super) generated: Vec<u32>,
    pub(super) offline: bool,
    pub(super) cached_tokens: usize,
    pub(super) submitted: Instant,
    pub(super) control: Control,
    pub(super) text: GeneratedText<'a>,
    pub(super) outlet: Outlet<'a>,
}

impl Work<'_> {
    /// Goes on with the drafter alone, after what `crossed` the wire; `None` where there is none.
    pub(super) fn go_offline(
        &mut self,
        crossed: Crossed,
    ) -> Option<Result<Option<Finished>, DeviceError>> {
        let Resources { parts, config, .. } = self.resources;
        let drafter = parts.drafter.as_ref()?;
        if let Err(error) = self.request.sampling.check_vocab(parts.output.vocab()) {
            return Some(Err(error.into()));
        }
        self.offline = true;
        tracing::warn!("the cloud is out of reach: the drafter answers alone");
        if self.outlet.send(Update::Offline).is_break() {
            return Some(Ok(None));
        }
        let constraint = self.request.grammar.as_ref().map(Grammar::constraint);
        let sampler = Sampler::new(self.request.sampling.clone(), &self.request.prompt, constraint)
            .with_logprobs(self.request.logprobs);
        let tokens = [&self.request.prompt[..], &self.generated].concat();
        let (prompt, max_new_tokens) = (self.request.prompt.len(), self.request.max_new_tokens);
        let turn = OfflineTurn { tokens, prompt, max_new_tokens, sampler, crossed };
        let control = self.control.clone();
        Some(self.run(|on_event| {
            offline::write(parts, drafter, &config.options.processor, turn, &control, on_event)
        }))
    }

    /// Hands on what `turn` reports while it runs, and what it comes to; `None` when it was
    /// cancelled.
    pub(super) fn run(
        &mut self,
        turn: impl FnOnce(OnEvent<'_>) -> Result<TurnReport, DeviceError>,
    ) -> Result<Option<Finished>, DeviceError> {
        let mut failure = None;
        let report = turn(&mut |event| match event {
            Event::Round(round) => self.round(round),
            Event::Token { id, drafted, logprobs } => {
                self.token(id, drafted, logprobs).unwrap_or_else(|error| {
                    failure = Some(error);
                    ControlFlow::Break(())
                })
            }
            Event::Reconnecting => self.outlet.send(Update::Reconnecting),
        })?;
        failure.map_or_else(|| self.finish(report), Err)
    }

    fn round(&mut self, round: RoundTrace) -> ControlFlow<()> {
        if self.generated.is_empty() {
            self.resources.totals.first_token(self.submitted.elapsed());
            self.cached_tokens = round.reused_tokens;
            let (prompt_tokens, cached_tokens) = (self.request.prompt.len(), round.reused_tokens);
            self.outlet.send(Update::Prefilled { prompt_tokens, cached_tokens })?;
        }
        if self.request.trace {
            self.outlet.send(Update::Round(round))
        } else {
            ControlFlow::Continue(())
        }
    }

    /// A token was generated. Breaks where the text ends with it or nobody reads it.
    fn token(
        &mut self,
        id: u32,
        drafted: bool,
        logprobs: Option<Logprobs>,
    ) -> Result<ControlFlow<()>, DeviceError> {
        self.generated.push(id);
        let (text, bytes) = self.resources.prompter.token_text(id);
        let (text, tokens) = self.text.push(TextToken { id, drafted, text, bytes, logprobs })?;
        let sent = self.delta(text, tokens);
        Ok(if self.text.stopped().is_some() { ControlFlow::Break(()) } else { sent })
    }

    fn delta(&mut self, text: String, tokens: Vec<TextToken>) -> ControlFlow<()> {
        if text.is_empty() && tokens.is_empty() {
            return ControlFlow::Continue(());
        }
        self.outlet.send(Update::Delta { text, tokens })
    }

    /// The turn is over; `None` when it was cancelled.
    fn finish(&mut self, report: TurnReport) -> Result<Option<Finished>, DeviceError> {
        let finish = match (self.text.stopped(), report.finish) {
            (Some(stop), _) => Finish::StopText(stop.to_owned()),
            (None, FinishReason::Length) => Finish::Length,
            (None, FinishReason::Stop) => Finish::Stop,
            (None, FinishReason::Cancelled) => return Ok(None),
        };
        let (text, tokens) = self.text.flush()?;
        // What was held back may hold a stop text yet.
        let finish = self.text.stopped().map_or(finish, |stop| Finish::StopText(stop.to_owned()));
        if self.delta(text, tokens).is_break() {
            return Ok(None);
        }
        Ok(Some(Finished {
            finish,
            prompt_tokens: self.request.prompt.len(),
            cached_tokens: self.cached_tokens,
            completion_tokens: self.generated.len(),
            offline: self.offline,
            report,
        }))
    }
}
