//! Log-probabilities of tokens.

use super::offsets::TextOffsets;
use serde::Serialize;
use serde_json::{Map, Value};
use tricorn_device::{Prompter, engine::TextToken};

/// What stands for a probability of 0, whose logarithm JSON cannot write.
const IMPOSSIBLE: f32 = -9999.0;

/// A chat choice's `logprobs`.
#[derive(Debug, Default, Serialize)]
pub(super) struct ChatLogprobs {
    content: Vec<TokenEntry>,
    refusal: Option<()>,
}

#[derive(Debug, Serialize)]
struct TokenEntry {
    #[serde(flatten)]
    token: Entry,
    top_logprobs: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

impl ChatLogprobs {
    pub(super) fn of(tokens: &[TextToken], prompter: &Prompter) -> Self {
        let top = |id, logprob| {
            let (token, bytes) = prompter.token_text(id);
            Entry { token, logprob: finite(logprob), bytes }
        };
        let entry = |token: &TextToken| {
            let logprobs = token.logprobs.as_ref()?;
            let top_logprobs =
                logprobs.top.iter().map(|likely| top(likely.id, likely.logprob)).collect();
            let token = Entry {
                token: token.text.clone(),
                logprob: finite(logprobs.chosen),
                bytes: token.bytes.clone(),
            };
            Some(TokenEntry { token, top_logprobs })
        };
        Self { content: tokens.iter().filter_map(entry).collect(), refusal: None }
    }
}

/// A completion choice's `logprobs`: lists, one entry a token.
#[derive(Debug, Default, Serialize)]
pub(super) struct CompletionLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f32>,
    top_logprobs: Vec<Map<String, Value>>,
    /// Characters of the text before each token.
    text_offset: Vec<usize>,
}

impl CompletionLogprobs {
    /// `offsets`: of the choice, with the text that these tokens are of.
    pub(super) fn of(tokens: &[TextToken], prompter: &Prompter, offsets: &mut TextOffsets) -> Self {
        let mut lists = Self::default();
        for token in tokens {
            let offset = offsets.next(&token.bytes);
            let Some(logprobs) = token.logprobs.as_ref() else { continue };
            let mut top = Map::new();
            for likely in &logprobs.top {
                let (_, bytes) = prompter.token_text(likely.id);
                // Several tokens may stand for the same bytes: the likeliest comes first.
                top.entry(name(&bytes)).or_insert_with(|| finite(likely.logprob).into());
            }
            // As OpenAI's API has it, the chosen token is among them in any case.
            top.entry(name(&token.bytes)).or_insert_with(|| finite(logprobs.chosen).into());
            lists.tokens.push(name(&token.bytes));
            lists.token_logprobs.push(finite(logprobs.chosen));
            lists.top_logprobs.push(top);
            lists.text_offset.push(offset);
        }
        lists
    }
}

/// A token as OpenAI's completions write it: its text, or `bytes:\xe2\x80` where it ends within a
/// character.
fn name(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes)
        .map_or_else(|_| format!("bytes:{}", bytes.escape_ascii()), str::to_owned)
}

fn finite(logprob: f32) -> f32 {
    logprob.max(IMPOSSIBLE)
}
