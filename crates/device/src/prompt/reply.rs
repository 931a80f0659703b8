//! Reply: a generated text, token by token.

use tricorn_model::ModelError;
use tricorn_text::tokenizer::TextStream;

/// A reply's text as it grows.
#[derive(Debug)]
pub struct Reply<'a> {
    stream: TextStream,
    stop_tokens: &'a [u32],
    text: String,
}

impl<'a> Reply<'a> {
    pub(super) fn new(stream: TextStream, stop_tokens: &'a [u32]) -> Self {
        Self { stream, stop_tokens, text: String::new() }
    }

    /// What `token` adds to the text; often nothing until a character is whole, and never the text
    /// of a stop token.
    ///
    /// # Errors
    /// When the tokenizer cannot decode it.
    pub fn push(&mut self, token: u32) -> Result<String, ModelError> {
        if self.stop_tokens.contains(&token) {
            return Ok(String::new());
        }
        let piece = self.stream.push(token)?;
        self.text.push_str(&piece);
        Ok(piece)
    }

    /// Whether `token` ends the text.
    pub(crate) fn ends_at(&self, token: u32) -> bool {
        self.stop_tokens.contains(&token)
    }

    /// What was held back, and the whole text.
    ///
    /// # Errors
    /// When the tokenizer cannot decode it.
    pub fn finish(mut self) -> Result<(String, String), ModelError> {
        let rest = self.flush()?;
        Ok((rest, self.text))
    }

    /// What was held back: no token follows.
    pub(crate) fn flush(&mut self) -> Result<String, ModelError> {
        let rest = self.stream.flush()?;
        self.text.push_str(&rest);
        Ok(rest)
    }
}
