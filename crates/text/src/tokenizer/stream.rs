//! Decoding token by token without ever splitting a character.

use super::TextTokenizer;
use crate::error::TextError;

const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;
/// A character has at most 4 bytes, so a replacement character that is still there after this many
/// tokens is part of the text.
const MAX_HELD: usize = 8;
/// Tokens before the text that its decoding may depend on.
const CONTEXT: usize = 8;

/// Turns token ids into pieces of text as they come.
///
/// The pieces, joined, are the decoding of the whole: spaces depend on neighbours, so each token is
/// decoded together with those of the last piece, and a token that ends inside a character is held
/// back until the character is complete.
#[derive(Clone, Debug)]
pub struct TextStream {
    tokenizer: TextTokenizer,
    /// The last piece's tokens, then those not yet yielded.
    window: Vec<u32>,
    yielded: usize,
    prefix: String,
}

impl TextStream {
    pub(super) fn new(tokenizer: TextTokenizer) -> Self {
        Self { tokenizer, window: Vec::new(), yielded: 0, prefix: String::new() }
    }

    pub(super) fn after(tokenizer: TextTokenizer, context: &[u32]) -> Result<Self, TextError> {
        let window = context[context.len().saturating_sub(CONTEXT)..].to_vec();
        let mut prefix = tokenizer.decode(&window)?;
        // A character that begins in the context and ends in the text belongs to the text.
        prefix.truncate(prefix.trim_end_matches(REPLACEMENT).len());
        Ok(Self { tokenizer, yielded: window.len(), window, prefix })
    }

    /// Takes the next token; yields the text that is complete by now, which may be empty.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn push(&mut self, token: u32) -> Result<String, TextError> {
        self.window.push(token);
        let text = self.tokenizer.decode(&self.window)?;
        let held = self.window.len() - self.yielded;
        if held < MAX_HELD && (text.ends_with(REPLACEMENT) || !text.starts_with(&self.prefix)) {
            return Ok(String::new());
        }
        self.release(&text)
    }

    /// Ends the text: yields what is still held back, with U+FFFD for incomplete characters.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn flush(&mut self) -> Result<String, TextError> {
        let text = self.tokenizer.decode(&self.window)?;
        self.release(&text)
    }

    fn release(&mut self, text: &str) -> Result<String, TextError> {
        let held = self.window.split_off(self.yielded);
        let piece = match text.strip_prefix(self.prefix.as_str()) {
            Some(piece) => piece.to_owned(),
            // Stray bytes have changed how the decoder reads those before them, and what is out
            // cannot be taken back.
            None => self.tokenizer.decode(&held)?,
        };
        // Tokens without text, such as special ones, leave the last piece as the context of the
        // next.
        if piece.is_empty() {
            self.window.extend(held);
        } else {
            self.window = held;
        }
        self.yielded = self.window.len();
        self.prefix = self.tokenizer.decode(&self.window)?;
        Ok(piece)
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
