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
    fn delta(&mut self, index: usize, text: &str, tokens: &[TextToken], round: Option<&RoundTrace>) -> Vec<String>;

    /// The end of choice `index`. `last`: no chunk follows.
    fn finish(&mut self, index: usize, finished: &Finished, last: bool) -> Vec<String>;

    /// The last chunk, which has no choices and tells the usage.
    fn usage(&mut self, usage: Usage, last: &Finished) -> String;
}

/// The state of a stream: what each choice has told so far.
#[derive(Debug)]
pub(crate) struct ChunkStream<C> {
    chunks: C,
    n: usize,
    include_usage: bool,
    usage: Usage,
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
        Self { chunks, n, include_usage, usage: Usage::default(), choices: vec![State::default(); count], pending: VecDeque::new() }
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
                if let Some(state) = self.choices.get_mut(index) {
                    state.ended = true;
                }
                let over = self.choices.iter().all(|state| state.ended);
                self.pending.extend(self.chunks.finish(index, finished, over && !self.include_usage));
                if over && self.include_usage {
                    self.pending.push_back(self.chunks.usage(self.usage, finished));
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
