//! Chunks of a streamed answer.

use super::{envelope::Envelope, trace::Summary, usage::Usage};
use crate::choices::Choice;
use std::collections::VecDeque;
use tricorn_device::{
    RoundTrace,
    engine::{Finished, TextToken, Update},
};

/// An answer that an endpoint writes, whole or in chunks.
pub(crate) trait Answer {
    /// Its chunks.
    type Chunks: Chunks;

    /// All of it as JSON.
    fn whole(&self, choices: &[Choice]) -> String;

    /// Its chunks, for `count` choices.
    fn chunks(self, count: usize) -> Self::Chunks;
}

/// The chunks of an answer. Each is the JSON of one event.
pub(crate) trait Chunks: Send + 'static {
    /// The name of the objects.
    const OBJECT: &'static str;

    /// The fields that all chunks share.
    fn envelope(&self) -> &Envelope;

    /// The first chunk of choice `index`, where there is one.
    fn begin(&mut self, index: usize) -> Option<String>;

    /// More text of choice `index`; no chunk where there is nothing to tell yet.
    fn delta(&mut self, index: usize, piece: Piece<'_>) -> Option<String>;

    /// The end of choice `index`; `summary` goes with its last chunk.
    fn finish(
        &mut self,
        index: usize,
        finished: &Finished,
        summary: Option<Summary>,
    ) -> Vec<String>;
}

/// More text of a choice, with its tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) tokens: &'a [TextToken],
    /// The last answer of the cloud, where there was one.
    pub(super) round: Option<&'a RoundTrace>,
}

/// A stream of chunks, with what each choice has told so far.
#[derive(Debug)]
pub(crate) struct ChunkStream<C> {
    chunks: C,
    usage: Usage,
    offline: bool,
    choices: Vec<ChoiceProgress>,
    pending: VecDeque<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct ChoiceProgress {
    begun: bool,
    round: Option<RoundTrace>,
    ended: bool,
}

impl<C: Chunks> ChunkStream<C> {
    /// The stream of `count` choices.
    pub(crate) fn new(chunks: C, count: usize) -> Self {
        Self {
            chunks,
            usage: Usage::default(),
            offline: false,
            choices: vec![ChoiceProgress::default(); count],
            pending: VecDeque::new(),
        }
    }

    /// The next chunk that is ready.
    pub(crate) fn pop(&mut self) -> Option<String> {
        self.pending.pop_front()
    }

    /// Takes in what choice `index` reports.
    pub(crate) fn update(&mut self, index: usize, update: &Update) {
        let Some(choice) = self.choices.get_mut(index) else { return };
        match update {
            Update::Round(round) => choice.round = Some(*round),
            Update::Delta { text, tokens } => {
                if text.is_empty() && tokens.is_empty() {
                    return;
                }
                let round = choice.round;
                self.begin(index);
                let piece = Piece { text, tokens, round: round.as_ref() };
                self.pending.extend(self.chunks.delta(index, piece));
            }
            Update::Done(finished) => {
                choice.ended = true;
                self.begin(index);
                self.finish(index, finished);
            }
            _ => {}
        }
    }

    fn begin(&mut self, index: usize) {
        if let Some(choice) = self.choices.get_mut(index).filter(|choice| !choice.begun) {
            choice.begun = true;
            self.pending.extend(self.chunks.begin(index));
        }
    }

    fn finish(&mut self, index: usize, finished: &Finished) {
        let &Envelope { n, trace, include_usage, .. } = self.chunks.envelope();
        self.usage.add(index, n, finished);
        self.offline |= finished.offline;
        let over = self.choices.iter().all(|choice| choice.ended);
        // The figures of the whole answer go with its very last chunk.
        let summary = Summary::of(finished, trace && over && !include_usage);
        self.pending.extend(self.chunks.finish(index, finished, summary));
        if over && include_usage {
            let summary = Summary::whole(finished, self.offline, trace);
            let envelope = self.chunks.envelope();
            self.pending.push_back(envelope.usage_chunk(C::OBJECT, self.usage, summary));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        answer::{ChatAnswer, CompletionAnswer, testing::finished},
        request::Common,
        testing::service,
    };
    use serde_json::{Value, json};
    use tricorn_core::SamplingOptions;
    use tricorn_device::engine::Finish;

    /// The envelope of an answer of two choices.
    fn envelope(prefix: &str, include_usage: bool) -> Envelope {
        let common = Common {
            n: 2,
            max_tokens: None,
            stop: Vec::new(),
            sampling: SamplingOptions::default(),
            stream: include_usage,
            include_usage,
            trace: false,
        };
        Envelope::new(&service(), prefix, &common, false)
    }

    fn chat(include_usage: bool) -> ChatAnswer {
        ChatAnswer { envelope: envelope("chatcmpl-", include_usage), tools: None }
    }

    fn completion(include_usage: bool) -> CompletionAnswer {
        CompletionAnswer { envelope: envelope("cmpl-", include_usage), echo: Vec::new() }
    }

    /// The chunks of two choices of which the first to end was written offline.
    fn chunks(answer: impl Answer) -> Vec<Value> {
        let mut stream = ChunkStream::new(answer.chunks(2), 2);
        stream.update(1, &Update::Done(Box::new(finished(Finish::Length, true))));
        stream.update(0, &Update::Done(Box::new(finished(Finish::Length, false))));
        std::iter::from_fn(|| stream.pop())
            .map(|chunk| serde_json::from_str(&chunk).unwrap())
            .collect()
    }

    #[test]
    fn a_choice_that_was_written_offline_is_marked_in_its_last_chunk() {
        for usage in [false, true] {
            for chunks in [chunks(chat(usage)), chunks(completion(usage))] {
                let last = |index: usize| {
                    let ends = |chunk: &&Value| {
                        chunk["choices"][0]["index"] == index
                            && chunk["choices"][0]["finish_reason"] == "length"
                    };
                    chunks.iter().find(ends).unwrap()
                };
                assert_eq!(last(1)["tricorn"], json!({ "offline": true }));
                assert_eq!(last(0).get("tricorn"), None);
                let whole = chunks.iter().find(|chunk| chunk["choices"] == json!([]));
                assert_eq!(
                    whole.map(|chunk| &chunk["tricorn"]),
                    usage.then_some(&json!({ "offline": true }))
                );
            }
        }
    }

    #[test]
    fn an_answer_of_which_a_choice_was_written_offline_is_marked() {
        for offline in [[true, false], [false, true], [false, false]] {
            let choices = offline.map(|offline| Choice {
                text: "a".to_owned(),
                tokens: Vec::new(),
                finished: Box::new(finished(Finish::Stop, offline)),
            });
            let mark = offline.contains(&true).then(|| json!({ "offline": true }));
            for whole in [chat(false).whole(&choices), completion(false).whole(&choices)] {
                assert_eq!(
                    serde_json::from_str::<Value>(&whole).unwrap().get("tricorn"),
                    mark.as_ref()
                );
            }
        }
    }
}
