//! A streamed answer, chunk by chunk.

use super::usage::Usage;
use serde::Serialize;
use std::collections::VecDeque;
use tricorn_device::{
    RoundTrace,
    engine::{Finished, TextToken, Update},
};

/// How an endpoint writes the chunks of its stream. Each is the JSON of one event.
pub(crate) trait Chunks: Send + 'static {
    /// The first chunk of choice `index`, where there is one.
    fn begin(&mut self, index: usize) -> Option<String>;

    /// More text of choice `index`.
    fn delta(
        &mut self,
        index: usize,
        text: &str,
        tokens: &[TextToken],
        round: Option<&RoundTrace>,
    ) -> Vec<String>;

    /// The end of choice `index`, marked where the device wrote of it alone. `last`: no chunk
    /// follows.
    fn finish(&mut self, index: usize, finished: &Finished, last: bool) -> Vec<String>;

    /// The last chunk, which has no choices and tells the usage. `offline`: whether the device
    /// wrote of any choice alone.
    fn usage(&mut self, usage: Usage, last: &Finished, offline: bool) -> String;
}

/// The state of a stream: what each choice has told so far.
#[derive(Debug)]
pub(crate) struct ChunkStream<C> {
    chunks: C,
    n: usize,
    include_usage: bool,
    usage: Usage,
    offline: bool,
    choices: Vec<State>,
    pending: VecDeque<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    begun: bool,
    round: Option<RoundTrace>,
    ended: bool,
}

impl<C: Chunks> ChunkStream<C> {
    /// `count` choices, `n` for each prompt.
    pub(crate) fn new(chunks: C, count: usize, n: usize, include_usage: bool) -> Self {
        Self {
            chunks,
            n,
            include_usage,
            usage: Usage::default(),
            offline: false,
            choices: vec![State::default(); count],
            pending: VecDeque::new(),
        }
    }

    /// The next chunk that is ready.
    pub(crate) fn pop(&mut self) -> Option<String> {
        self.pending.pop_front()
    }

    /// Takes in what choice `index` reports.
    pub(crate) fn update(&mut self, index: usize, update: &Update) {
        let Some(state) = self.choices.get_mut(index) else { return };
        match update {
            Update::Round(round) => state.round = Some(*round),
            Update::Delta { text, tokens } => {
                if text.is_empty() && tokens.is_empty() {
                    return;
                }
                let round = state.round;
                self.begin(index);
                self.pending.extend(self.chunks.delta(index, text, tokens, round.as_ref()));
            }
            Update::Done(finished) => {
                self.begin(index);
                self.usage.add(index, self.n, finished);
                self.offline |= finished.offline;
                if let Some(state) = self.choices.get_mut(index) {
                    state.ended = true;
                }
                let over = self.choices.iter().all(|state| state.ended);
                self.pending.extend(self.chunks.finish(
                    index,
                    finished,
                    over && !self.include_usage,
                ));
                if over && self.include_usage {
                    self.pending.push_back(self.chunks.usage(self.usage, finished, self.offline));
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, index: usize) {
        if let Some(state) = self.choices.get_mut(index).filter(|state| !state.begun) {
            state.begun = true;
            self.pending.extend(self.chunks.begin(index));
        }
    }
}

/// A chunk's JSON.
pub(super) fn json(chunk: &impl Serialize) -> String {
    // None of our objects has keys that are no texts, which is all that can fail.
    serde_json::to_string(chunk).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        answer::{
            Head,
            chat::{ChatAnswer, ChatChunks},
            completion::{CompletionAnswer, CompletionChunks},
            testing::{finished, service},
        },
        choices::Choice,
    };
    use serde_json::{Value, json};
    use tricorn_device::engine::Finish;

    fn chat() -> ChatAnswer {
        ChatAnswer {
            head: Head::new(&service(), "chatcmpl-"),
            logprobs: false,
            trace: false,
            tools: None,
            service: service(),
        }
    }

    fn completion() -> CompletionAnswer {
        CompletionAnswer {
            head: Head::new(&service(), "cmpl-"),
            n: 2,
            logprobs: false,
            trace: false,
            echo: Vec::new(),
            service: service(),
        }
    }

    /// The chunks of two choices of which the first to end was written offline.
    fn chunks(chunks: impl Chunks, include_usage: bool) -> Vec<Value> {
        let mut stream = ChunkStream::new(chunks, 2, 2, include_usage);
        stream.update(1, &Update::Done(Box::new(finished(Finish::Length, true))));
        stream.update(0, &Update::Done(Box::new(finished(Finish::Length, false))));
        std::iter::from_fn(|| stream.pop())
            .map(|chunk| serde_json::from_str(&chunk).unwrap())
            .collect()
    }

    #[test]
    fn a_choice_that_was_written_offline_is_marked_in_its_last_chunk() {
        for usage in [false, true] {
            for chunks in [
                chunks(ChatChunks::new(chat(), 2, usage), usage),
                chunks(CompletionChunks::new(completion(), 2, usage), usage),
            ] {
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
            let choice = |offline| Choice {
                text: "a".to_owned(),
                tokens: Vec::new(),
                finished: Box::new(finished(Finish::Stop, offline)),
            };
            let mark = offline.contains(&true).then(|| json!({ "offline": true }));
            for whole in
                [chat().whole(offline.map(choice).into()), completion().whole(&offline.map(choice))]
            {
                assert_eq!(
                    serde_json::from_str::<Value>(&whole).unwrap().get("tricorn"),
                    mark.as_ref()
                );
            }
        }
    }
}
