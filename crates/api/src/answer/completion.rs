//! `text_completion`, whole and in chunks.

use super::{
    Chunks, Head,
    chat::Told,
    chunks::json,
    logprobs::CompletionLogprobs,
    offsets::TextOffsets,
    reason,
    trace::{Progress, Summary},
    usage::Usage,
};
use crate::{Service, choices};
use serde::Serialize;
use std::sync::Arc;
use tricorn_device::{
    RoundTrace,
    engine::{Finished, TextToken},
};

/// What the answer to a prompt is written with.
#[derive(Debug)]
pub(crate) struct CompletionAnswer {
    pub(crate) service: Arc<Service>,
    pub(crate) head: Head,
    /// Choices for each prompt.
    pub(crate) n: usize,
    /// Whether log-probabilities are told.
    pub(crate) logprobs: bool,
    /// Whether what goes over the wire is told.
    pub(crate) trace: bool,
    /// The prompts' texts, where they are to be repeated before the choices; else none.
    pub(crate) echo: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: &'a str,
    choices: Vec<Choice<'a>>,
    /// In a stream, null but in the last chunk, and absent where it is not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tricorn: Option<Told<'a>>,
}

#[derive(Debug, Serialize)]
struct Choice<'a> {
    index: usize,
    text: &'a str,
    logprobs: Option<CompletionLogprobs>,
    finish_reason: Option<&'static str>,
}

impl CompletionAnswer {
    /// The whole answer as JSON.
    pub(crate) fn whole(&self, choices: &[choices::Choice]) -> String {
        let mut usage = Usage::default();
        let summary = Summary::of_all(choices, self.trace);
        let texts: Vec<String> = choices
            .iter()
            .enumerate()
            .map(|(index, choice)| self.echo(index).to_owned() + &choice.text)
            .collect();
        let written = choices.iter().zip(&texts).enumerate().map(|(index, (choice, text))| {
            usage.add(index, self.n, &choice.finished);
            let logprobs = self.logprobs.then(|| {
                let mut offsets = TextOffsets::default();
                offsets.push(&choice.text);
                CompletionLogprobs::of(&choice.tokens, self.service.engine.prompter(), &mut offsets)
            });
            Choice { index, text, logprobs, finish_reason: Some(reason(&choice.finished)) }
        });
        let written = written.collect();
        self.object(written, Some(Some(usage)), summary.map(Told::Summary))
    }

    fn echo(&self, index: usize) -> &str {
        self.echo.get(index / self.n).map_or("", String::as_str)
    }

    fn object(
        &self,
        choices: Vec<Choice<'_>>,
        usage: Option<Option<Usage>>,
        tricorn: Option<Told<'_>>,
    ) -> String {
        json(&Completion {
            id: &self.head.id,
            object: "text_completion",
            created: self.head.created,
            model: &self.head.model,
            system_fingerprint: &self.head.fingerprint,
            choices,
            usage,
            tricorn,
        })
    }
}

/// The chunks of an answer to a prompt.
#[derive(Debug)]
pub(crate) struct CompletionChunks {
    answer: CompletionAnswer,
    include_usage: bool,
    /// Of each choice, where log-probabilities are told.
    offsets: Vec<TextOffsets>,
}

impl CompletionChunks {
    /// For an answer of `count` choices.
    pub(crate) fn new(answer: CompletionAnswer, count: usize, include_usage: bool) -> Self {
        let offsets =
            if answer.logprobs { vec![TextOffsets::default(); count] } else { Vec::new() };
        Self { answer, include_usage, offsets }
    }

    fn chunk(&self, choice: Choice<'_>, tricorn: Option<Told<'_>>) -> String {
        self.answer.object(vec![choice], self.include_usage.then_some(None), tricorn)
    }
}

impl Chunks for CompletionChunks {
    fn begin(&mut self, index: usize) -> Option<String> {
        let text = self.answer.echo(index);
        (!text.is_empty())
            .then(|| self.chunk(Choice { index, text, logprobs: None, finish_reason: None }, None))
    }

    fn delta(
        &mut self,
        index: usize,
        text: &str,
        tokens: &[TextToken],
        round: Option<&RoundTrace>,
    ) -> Vec<String> {
        let logprobs = self.offsets.get_mut(index).map(|offsets| {
            offsets.push(text);
            CompletionLogprobs::of(tokens, self.answer.service.engine.prompter(), offsets)
        });
        let progress = self.answer.trace.then(|| Told::Progress(Progress::of(tokens, round)));
        if text.is_empty() && logprobs.is_none() && progress.is_none() {
            return Vec::new();
        }
        vec![self.chunk(Choice { index, text, logprobs, finish_reason: None }, progress)]
    }

    fn finish(&mut self, index: usize, finished: &Finished, last: bool) -> Vec<String> {
        let summary = Summary::of(finished, last && self.answer.trace);
        let choice =
            Choice { index, text: "", logprobs: None, finish_reason: Some(reason(finished)) };
        vec![self.chunk(choice, summary.map(Told::Summary))]
    }

    fn usage(&mut self, usage: Usage, last: &Finished, offline: bool) -> String {
        self.answer.object(
            Vec::new(),
            Some(Some(usage)),
            Summary::whole(last, offline, self.answer.trace).map(Told::Summary),
        )
    }
}
