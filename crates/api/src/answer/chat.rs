//! `chat.completion` and `chat.completion.chunk`.

use super::{
    Chunks, Head,
    chunks::json,
    logprobs::ChatLogprobs,
    speech::{Call, Said, Speech, Tools},
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

/// What the answer to a chat is written with.
#[derive(Debug)]
pub(crate) struct ChatAnswer {
    pub(crate) service: Arc<Service>,
    pub(crate) head: Head,
    /// Whether log-probabilities are told.
    pub(crate) logprobs: bool,
    /// Whether what goes over the wire is told.
    pub(crate) trace: bool,
    /// Where the answer may call tools.
    pub(crate) tools: Option<Tools>,
}

#[derive(Debug, Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<Choice>,
    usage: Usage,
    system_fingerprint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tricorn: Option<Summary>,
}

#[derive(Debug, Serialize)]
struct Choice {
    index: usize,
    message: Message,
    logprobs: Option<ChatLogprobs>,
    finish_reason: &'static str,
}

#[derive(Debug, Serialize)]
struct Message {
    role: &'static str,
    content: Option<String>,
    refusal: Option<()>,
    annotations: [(); 0],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call>,
}

impl ChatAnswer {
    /// The whole answer as JSON; `n` choices.
    pub(crate) fn whole(&self, choices: Vec<choices::Choice>) -> String {
        let mut usage = Usage::default();
        let summary = Summary::of_all(&choices, self.trace);
        let n = choices.len();
        let written = choices.into_iter().enumerate().map(|(index, choice)| {
            usage.add(index, n, &choice.finished);
            self.choice(index, &choice)
        });
        let choices = written.collect();
        json(&Completion {
            id: &self.head.id,
            object: "chat.completion",
            created: self.head.created,
            model: &self.head.model,
            choices,
            usage,
            system_fingerprint: &self.head.fingerprint,
            tricorn: summary,
        })
    }

    fn choice(&self, index: usize, choice: &choices::Choice) -> Choice {
        let mut speech = Speech::new(self.tools.as_ref());
        let Said { mut content, calls: mut tool_calls } = speech.push(&choice.text);
        let mut rest = speech.finish();
        content.push_str(&rest.content);
        tool_calls.append(&mut rest.calls);
        tool_calls.iter_mut().for_each(|call| call.index = None);
        let content = (tool_calls.is_empty() || !content.trim().is_empty()).then_some(content);
        Choice {
            index,
            finish_reason: speech.reason(&choice.finished),
            message: Message {
                role: "assistant",
                content,
                refusal: None,
                annotations: [],
                tool_calls,
            },
            logprobs: self
                .logprobs
                .then(|| ChatLogprobs::of(&choice.tokens, self.service.engine.prompter())),
        }
    }
}

#[derive(Debug, Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: &'a str,
    choices: &'a [ChunkChoice<'a>],
    /// Null but in the last chunk, and absent where it is not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tricorn: Option<Told<'a>>,
}

/// The extension's object of a chunk.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Told<'a> {
    Progress(Progress<'a>),
    Summary(Summary),
}

#[derive(Debug, Serialize)]
struct ChunkChoice<'a> {
    index: usize,
    delta: Delta<'a>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Call]>::is_empty")]
    tool_calls: &'a [Call],
    /// In the first chunk alone, as null.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Option<()>>,
}

/// The chunks of a chat answer.
#[derive(Debug)]
pub(crate) struct ChatChunks {
    answer: ChatAnswer,
    include_usage: bool,
    choices: Vec<Speech>,
}

impl ChatChunks {
    /// For an answer of `count` choices.
    pub(crate) fn new(answer: ChatAnswer, count: usize, include_usage: bool) -> Self {
        let choices =
            std::iter::repeat_with(|| Speech::new(answer.tools.as_ref())).take(count).collect();
        Self { answer, include_usage, choices }
    }

    fn chunk(
        &self,
        choices: &[ChunkChoice<'_>],
        usage: Option<Usage>,
        tricorn: Option<Told<'_>>,
    ) -> String {
        let head = &self.answer.head;
        json(&Chunk {
            id: &head.id,
            object: "chat.completion.chunk",
            created: head.created,
            model: &head.model,
            system_fingerprint: &head.fingerprint,
            choices,
            usage: self.include_usage.then_some(usage),
            tricorn,
        })
    }

    fn said(
        &self,
        index: usize,
        said: &Said,
        tokens: &[TextToken],
        tricorn: Option<Told<'_>>,
    ) -> Option<String> {
        let logprobs = (self.answer.logprobs && !tokens.is_empty())
            .then(|| ChatLogprobs::of(tokens, self.answer.service.engine.prompter()));
        if said.content.is_empty()
            && said.calls.is_empty()
            && logprobs.is_none()
            && tricorn.is_none()
        {
            return None;
        }
        let content =
            (!said.content.is_empty() || said.calls.is_empty()).then_some(said.content.as_str());
        let delta = Delta { content, tool_calls: &said.calls, ..Delta::default() };
        Some(self.chunk(
            &[ChunkChoice { index, delta, logprobs, finish_reason: None }],
            None,
            tricorn,
        ))
    }
}

impl Chunks for ChatChunks {
    fn begin(&mut self, index: usize) -> Option<String> {
        let delta = Delta {
            role: Some("assistant"),
            content: Some(""),
            refusal: Some(None),
            ..Delta::default()
        };
        Some(self.chunk(
            &[ChunkChoice { index, delta, logprobs: None, finish_reason: None }],
            None,
            None,
        ))
    }

    fn delta(
        &mut self,
        index: usize,
        text: &str,
        tokens: &[TextToken],
        round: Option<&RoundTrace>,
    ) -> Vec<String> {
        let said = self.choices.get_mut(index).map(|speech| speech.push(text)).unwrap_or_default();
        let progress = self.answer.trace.then(|| Told::Progress(Progress::of(tokens, round)));
        self.said(index, &said, tokens, progress).into_iter().collect()
    }

    fn finish(&mut self, index: usize, finished: &Finished, last: bool) -> Vec<String> {
        let rest = self.choices.get_mut(index).map(Speech::finish).unwrap_or_default();
        let mut chunks: Vec<String> = self.said(index, &rest, &[], None).into_iter().collect();
        let finish_reason = self.choices.get(index).map(|speech| speech.reason(finished));
        let summary = Summary::of(finished, last && self.answer.trace);
        let choice = ChunkChoice { index, delta: Delta::default(), logprobs: None, finish_reason };
        chunks.push(self.chunk(&[choice], None, summary.map(Told::Summary)));
        chunks
    }

    fn usage(&mut self, usage: Usage, last: &Finished, offline: bool) -> String {
        self.chunk(
            &[],
            Some(usage),
            Summary::whole(last, offline, self.answer.trace).map(Told::Summary),
        )
    }
}
