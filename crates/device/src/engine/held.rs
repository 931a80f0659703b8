//! What a slot's conversation holds, and how much of a prompt that is.

use super::request::Prompt;
use crate::{DeviceError, Prompter};

/// The tokens of a slot's conversation, with the texts that they are the tokens of.
#[derive(Debug, Default)]
pub(super) struct Held {
    tokens: Vec<u32>,
    turns: Vec<HeldTurn>,
}

/// One prompt and its answer. Their texts, one after the other, are the conversation's.
#[derive(Debug)]
struct HeldTurn {
    /// What the prompt added to the text; `None` when it came as tokens.
    asked: Option<String>,
    /// Tokens of the conversation up to the answer's begin.
    asked_tokens: usize,
    replied: String,
    /// The last token that ends within the answer.
    end: Boundary,
    /// The last one that ends within the answer without the white space behind it, which templates may leave out.
    solid: Boundary,
}

/// A place where a token ends, counted from where an answer begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Boundary {
    /// Tokens up to there.
    pub(super) tokens: usize,
    /// Bytes of text up to there.
    pub(super) bytes: usize,
}

/// An answer's text, and where its tokens end in it, in order.
#[derive(Debug, Default)]
pub(super) struct ReplyText {
    pub(super) text: String,
    pub(super) ends: Vec<Boundary>,
}

/// How much of a text a conversation has said already.
#[derive(Clone, Copy, Debug, Default)]
struct Followed {
    turns: usize,
    /// Tokens of the conversation that stand for the text below `bytes`.
    tokens: usize,
    bytes: usize,
}

/// How well a prompt fits what a slot holds, in tokens or bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fit {
    /// What both begin with.
    pub(super) shared: usize,
    /// What the slot holds beyond.
    pub(super) lost: usize,
    /// Whether the prompt is the conversation's next, or another try at its last turn.
    pub(super) goes_on: bool,
}

/// A prompt in tokens.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) tokens: Vec<u32>,
    /// Turns of the slot's that it goes on from.
    turns: usize,
    /// What it adds to their text; `None` when it came as tokens.
    asked: Option<String>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// How well `prompt` fits.
    pub(super) fn fit(&self, prompt: &Prompt) -> Fit {
        match prompt {
            Prompt::Tokens(tokens) => {
                let shared = common(&self.tokens, tokens);
                let ended = |turn: &HeldTurn| shared >= turn.asked_tokens + turn.end.tokens;
                let retried = |turn: &HeldTurn| shared >= turn.asked_tokens;
                Fit { shared, lost: self.tokens.len() - shared, goes_on: self.goes_on(ended, retried) }
            }
            Prompt::Rendered(text) => {
                let followed = self.follow(text);
                let rest = &text.as_bytes()[followed.bytes..];
                let next = self.turns.get(followed.turns);
                let asked = next.and_then(|turn| turn.asked.as_deref()).unwrap_or_default().as_bytes();
                let again = common(asked, rest);
                let retried = next.is_some() && !asked.is_empty() && again == asked.len();
                let replied = next.filter(|_| retried).map_or(0, |turn| common(turn.replied.as_bytes(), &rest[again..]));
                let shared = followed.bytes + again + replied;
                let goes_on = self.goes_on(|_| followed.turns + 1 >= self.turns.len(), |_| retried || followed.turns == self.turns.len());
                Fit { shared, lost: self.bytes().saturating_sub(shared), goes_on: shared > 0 && goes_on }
            }
        }
    }

    /// The tokens of `prompt`: those of the turns that it goes on from as they are, the rest as the tokenizer has it.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub(super) fn resolve(&self, prompt: Prompt, prompter: &Prompter) -> Result<Resolved, DeviceError> {
        let text = match prompt {
            Prompt::Tokens(tokens) => {
                let shared = common(&self.tokens, &tokens);
                let turns = self.turns.iter().take_while(|turn| turn.asked_tokens + turn.end.tokens <= shared).count();
                return Ok(Resolved { tokens, turns, asked: None });
            }
            Prompt::Rendered(text) => text,
        };
        let Followed { turns, tokens, bytes } = self.follow(&text);
        let rest = &text[bytes..];
        let tokens = [&self.tokens[..tokens], &prompter.special(rest)?].concat();
        Ok(Resolved { tokens, turns, asked: Some(rest.to_owned()) })
    }

    /// What the slot holds after `resolved` was answered by `reply`; `tokens` are those of the whole conversation.
    pub(super) fn after(mut self, resolved: &Resolved, reply: ReplyText, tokens: &[u32]) -> Self {
        self.turns.truncate(resolved.turns);
        let last_within = |bytes: usize| reply.ends.iter().rev().find(|end| end.bytes <= bytes).copied().unwrap_or_default();
        self.turns.push(HeldTurn {
            asked: resolved.asked.clone(),
            asked_tokens: resolved.tokens.len(),
            end: last_within(reply.text.len()),
            solid: last_within(reply.text.trim_end().len()),
            replied: reply.text,
        });
        self.tokens = tokens.to_vec();
        self
    }

    /// How far `text` repeats the conversation, turn by turn. Templates put their own white space around answers, and clients take some away:
    /// it need not be the same.
    fn follow(&self, text: &str) -> Followed {
        let mut followed = Followed::default();
        for turn in &self.turns {
            let rest = text.get(followed.bytes..).unwrap_or_default();
            let Some(answer) = turn.asked.as_deref().and_then(|asked| rest.strip_prefix(asked)) else { break };
            let begin = text.len() - answer.len();
            let (end, bytes) = if answer.starts_with(&turn.replied) {
                (turn.end, begin + turn.end.bytes)
            } else if answer.trim_start().starts_with(turn.replied.trim()) {
                let (spaces, held) = (leading_spaces(answer), leading_spaces(&turn.replied));
                (turn.solid, begin + spaces + turn.solid.bytes.saturating_sub(held))
            } else {
                break;
            };
            followed = Followed { turns: followed.turns + 1, tokens: turn.asked_tokens + end.tokens, bytes };
        }
        followed
    }

    fn bytes(&self) -> usize {
        self.turns.iter().map(|turn| turn.asked.as_ref().map_or(0, String::len) + turn.replied.len()).sum()
    }

    fn goes_on(&self, ended: impl Fn(&HeldTurn) -> bool, retried: impl Fn(&HeldTurn) -> bool) -> bool {
        match self.turns.as_slice() {
            [] => false,
            [only] => retried(only),
            [.., before, last] => ended(before) || retried(last),
        }
    }
}

fn leading_spaces(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

fn common<T: PartialEq>(held: &[T], new: &[T]) -> usize {
    held.iter().zip(new).take_while(|(held, new)| held == new).count()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
