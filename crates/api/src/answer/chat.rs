//! `chat.completion` and `chat.completion.chunk`.

use super::{
    chunks::{Answer, Chunks, Piece},
    envelope::Envelope,
    logprobs::ChatLogprobs,
    speech::{Call, Said, Speech, Tools},
    trace::{Summary, Told},
};
use crate::choices;
use serde::Serialize;
use tricorn_device::engine::{Finished, TextToken};

/// An answer to a chat.
#[derive(Debug)]
pub(crate) struct ChatAnswer {
    pub(crate) envelope: Envelope,
    /// Where the answer may call tools.
    pub(crate) tools: Option<Tools>,
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

impl Answer for ChatAnswer {
    type Chunks = ChatChunks;

    fn whole(&self, choices: &[choices::Choice]) -> String {
        let written: Vec<Choice> =
            choices.iter().enumerate().map(|(index, choice)| self.choice(index, choice)).collect();
        self.envelope.whole("chat.completion", choices, &written)
    }

    fn chunks(self, count: usize) -> ChatChunks {
        let Self { envelope, tools } = self;
        let speech = std::iter::repeat_with(|| Speech::new(tools.as_ref()));
        ChatChunks { choices: speech.take(count).collect(), envelope }
    }
}

impl ChatAnswer {
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
                .envelope
                .logprobs
                .then(|| ChatLogprobs::of(&choice.tokens, self.envelope.prompter())),
        }
    }
}

#[derive(Debug, Default, Serialize)]
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
    envelope: Envelope,
    choices: Vec<Speech>,
}

impl ChatChunks {
    fn chunk(&self, choice: ChunkChoice<'_>, tricorn: Option<Told<'_>>) -> String {
        self.envelope.chunk(Self::OBJECT, choice, tricorn)
    }

    fn said(
        &self,
        index: usize,
        said: &Said,
        tokens: &[TextToken],
        tricorn: Option<Told<'_>>,
    ) -> Option<String> {
        let logprobs = (self.envelope.logprobs && !tokens.is_empty())
            .then(|| ChatLogprobs::of(tokens, self.envelope.prompter()));
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
        Some(self.chunk(ChunkChoice { index, delta, logprobs, finish_reason: None }, tricorn))
    }
}

impl Chunks for ChatChunks {
    const OBJECT: &'static str = "chat.completion.chunk";

    fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    fn begin(&mut self, index: usize) -> Option<String> {
        let delta = Delta {
            role: Some("assistant"),
            content: Some(""),
            refusal: Some(None),
            ..Delta::default()
        };
        Some(self.chunk(ChunkChoice { index, delta, ..ChunkChoice::default() }, None))
    }

    fn delta(&mut self, index: usize, piece: Piece<'_>) -> Option<String> {
        let said =
            self.choices.get_mut(index).map(|speech| speech.push(piece.text)).unwrap_or_default();
        let progress = self.envelope.progress(piece.tokens, piece.round);
        self.said(index, &said, piece.tokens, progress)
    }

    fn finish(
        &mut self,
        index: usize,
        finished: &Finished,
        summary: Option<Summary>,
    ) -> Vec<String> {
        let rest = self.choices.get_mut(index).map(Speech::finish).unwrap_or_default();
        let mut chunks: Vec<String> = self.said(index, &rest, &[], None).into_iter().collect();
        let finish_reason = self.choices.get(index).map(|speech| speech.reason(finished));
        let choice = ChunkChoice { index, finish_reason, ..ChunkChoice::default() };
        chunks.push(self.chunk(choice, summary.map(Told::Summary)));
        chunks
    }
}
