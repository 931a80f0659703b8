//! `text_completion`, whole and in chunks.

use super::{
    chunks::{Answer, Chunks, Piece},
    envelope::Envelope,
    finish::reason,
    logprobs::CompletionLogprobs,
    offsets::TextOffsets,
    trace::{Summary, Told},
};
use crate::choices;
use serde::Serialize;
use tricorn_device::engine::Finished;

/// An answer to prompts.
#[derive(Debug)]
pub(crate) struct CompletionAnswer {
    pub(crate) envelope: Envelope,
    /// The prompts' texts, where they are to be repeated before the choices; else none.
    pub(crate) echo: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
struct Choice<'a> {
    index: usize,
    text: &'a str,
    logprobs: Option<CompletionLogprobs>,
    finish_reason: Option<&'static str>,
}

impl Answer for CompletionAnswer {
    type Chunks = CompletionChunks;

    fn whole(&self, choices: &[choices::Choice]) -> String {
        let texts: Vec<String> = choices
            .iter()
            .enumerate()
            .map(|(index, choice)| self.echo(index).to_owned() + &choice.text)
            .collect();
        let written = choices.iter().zip(&texts).enumerate().map(|(index, (choice, text))| {
            let logprobs = self.envelope.logprobs.then(|| {
                let mut offsets = TextOffsets::default();
                offsets.push(&choice.text);
                CompletionLogprobs::of(&choice.tokens, self.envelope.prompter(), &mut offsets)
            });
            Choice { index, text, logprobs, finish_reason: Some(reason(&choice.finished)) }
        });
        let written: Vec<Choice<'_>> = written.collect();
        self.envelope.whole(CompletionChunks::OBJECT, choices, &written)
    }

    fn chunks(self, count: usize) -> CompletionChunks {
        let offsets =
            if self.envelope.logprobs { vec![TextOffsets::default(); count] } else { Vec::new() };
        CompletionChunks { answer: self, offsets }
    }
}

impl CompletionAnswer {
    fn echo(&self, index: usize) -> &str {
        self.echo.get(index / self.envelope.n).map_or("", String::as_str)
    }
}

/// The chunks of an answer to prompts.
#[derive(Debug)]
pub(crate) struct CompletionChunks {
    answer: CompletionAnswer,
    /// Of each choice, where log-probabilities are told.
    offsets: Vec<TextOffsets>,
}

impl CompletionChunks {
    fn chunk(&self, choice: Choice<'_>, tricorn: Option<Told<'_>>) -> String {
        self.answer.envelope.chunk(Self::OBJECT, choice, tricorn)
    }
}

impl Chunks for CompletionChunks {
    const OBJECT: &'static str = "text_completion";

    fn envelope(&self) -> &Envelope {
        &self.answer.envelope
    }

    fn begin(&mut self, index: usize) -> Option<String> {
        let text = self.answer.echo(index);
        (!text.is_empty()).then(|| self.chunk(Choice { index, text, ..Choice::default() }, None))
    }

    fn delta(&mut self, index: usize, Piece { text, tokens, round }: Piece<'_>) -> Option<String> {
        let envelope = &self.answer.envelope;
        let logprobs = self.offsets.get_mut(index).map(|offsets| {
            offsets.push(text);
            CompletionLogprobs::of(tokens, envelope.prompter(), offsets)
        });
        let progress = envelope.progress(tokens, round);
        if text.is_empty() && logprobs.is_none() && progress.is_none() {
            return None;
        }
        Some(self.chunk(Choice { index, text, logprobs, finish_reason: None }, progress))
    }

    fn finish(
        &mut self,
        index: usize,
        finished: &Finished,
        summary: Option<Summary>,
    ) -> Vec<String> {
        let choice = Choice { index, finish_reason: Some(reason(finished)), ..Choice::default() };
        vec![self.chunk(choice, summary.map(Told::Summary))]
    }
}
