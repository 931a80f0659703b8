//! Tokens to text that ends where a stop text begins.

use super::generation::TextToken;
use crate::Reply;
use tricorn_model::ModelError;

/// A generated text as it is released.
#[derive(Debug)]
pub(super) struct GeneratedText<'a> {
    reply: Reply<'a>,
    stops: Vec<String>,
    /// Text that may yet become a stop text.
    held: String,
    held_tokens: Vec<TextToken>,
    stopped: Option<usize>,
}

impl<'a> GeneratedText<'a> {
    pub(super) fn new(reply: Reply<'a>, stops: Vec<String>) -> Self {
        Self { reply, stops, held: String::new(), held_tokens: Vec::new(), stopped: None }
    }

    /// What a further token releases.
    pub(super) fn push(&mut self, token: TextToken) -> Result<(String, Vec<TextToken>), ModelError> {
        let piece = self.reply.push(token.id)?;
        self.held_tokens.push(token);
        Ok(self.release(&piece))
    }

    /// The stop text that came up.
    pub(super) fn stopped(&self) -> Option<&str> {
        self.stopped.and_then(|index| self.stops.get(index)).map(String::as_str)
    }

    /// What is still held back, unless it belongs to a stop text.
    pub(super) fn finish(mut self) -> Result<(String, Vec<TextToken>), ModelError> {
        if self.stopped.is_some() {
            return Ok((String::new(), self.held_tokens));
        }
        let rest = self.reply.flush()?;
        let (mut text, mut tokens) = self.release(&rest);
        if self.stopped.is_none() {
            text.push_str(&self.held);
            tokens.append(&mut self.held_tokens);
        }
        Ok((text, tokens))
    }

    fn release(&mut self, piece: &str) -> (String, Vec<TextToken>) {
        self.held.push_str(piece);
        let found = self.stops.iter().enumerate().filter_map(|(index, stop)| Some((self.held.find(stop)?, index))).min();
        let end = match found {
            Some((at, index)) => {
                self.stopped = Some(index);
                at
            }
            None => self.held.len() - self.possible_stop(),
        };
        let rest = self.held.split_off(end);
        let text = std::mem::replace(&mut self.held, rest);
        let tokens = if self.held.is_empty() { std::mem::take(&mut self.held_tokens) } else { Vec::new() };
        (text, tokens)
    }

    /// Bytes at the end of the held text that may be the beginning of a stop text.
    fn possible_stop(&self) -> usize {
        let begins = |stop: &String| {
            let ends = stop.char_indices().map(|(at, _)| at).rev();
            ends.filter(|&len| len > 0).find(|&len| self.held.ends_with(&stop[..len])).unwrap_or(0)
        };
        self.stops.iter().map(begins).max().unwrap_or(0)
    }
}
