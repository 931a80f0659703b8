//! Generated text: tokens to text that ends where a stop text begins.

use super::update::TextToken;
use crate::prompt::Reply;
use std::collections::VecDeque;
use tricorn_model::ModelError;

/// A generated text as it is released.
///
/// It ends at the first place where a stop text is complete, and before the longest that is. That
/// is so whatever the tokens: what may yet become a stop text is held back, and so is a token whose
/// text is not out.
#[derive(Debug)]
pub(in crate::engine) struct GeneratedText<'a> {
    reply: Reply<'a>,
    stops: Vec<String>,
    /// All of it, without the stop text that ended it.
    text: String,
    /// Bytes of it that are out.
    released: usize,
    /// The begin of the text of the first token that is not out.
    begin: usize,
    /// Tokens that are not out, each with where its text ends, once that is known.
    pending: VecDeque<(TextToken, Option<usize>)>,
    stopped: Option<usize>,
}

impl<'a> GeneratedText<'a> {
    pub(in crate::engine) fn new(reply: Reply<'a>, stops: Vec<String>) -> Self {
        Self {
            reply,
            stops,
            text: String::new(),
            released: 0,
            begin: 0,
            pending: VecDeque::new(),
            stopped: None,
        }
    }

    /// Text and tokens that a further token releases.
    pub(in crate::engine) fn push(
        &mut self,
        token: TextToken,
    ) -> Result<(String, Vec<TextToken>), ModelError> {
        if self.reply.ends_at(token.id) {
            return Ok((String::new(), Vec::new()));
        }
        let piece = self.reply.push(token.id)?;
        self.pending.push_back((token, None));
        self.add(&piece);
        Ok(self.release(self.text.len() - self.possible_stop()))
    }

    /// The stop text that came up.
    pub(in crate::engine) fn stopped(&self) -> Option<&str> {
        self.stopped.and_then(|index| self.stops.get(index)).map(String::as_str)
    }

    /// Text and tokens still held back: no token follows.
    pub(in crate::engine) fn flush(&mut self) -> Result<(String, Vec<TextToken>), ModelError> {
        if self.stopped.is_none() {
            let rest = self.reply.flush()?;
            self.add(&rest);
        }
        let (text, mut tokens) = self.release(self.text.len());
        if self.stopped.is_none() {
            // Those that have no text.
            tokens.extend(self.pending.drain(..).map(|(token, _)| token));
        }
        Ok((text, tokens))
    }

    fn add(&mut self, piece: &str) {
        if piece.is_empty() || self.stopped.is_some() {
            return;
        }
        let before = self.text.len();
        self.text.push_str(piece);
        let bytes = self.text.len();
        self.pending.iter_mut().for_each(|(_, end)| *end = end.or(Some(bytes)));
        if let Some((at, index)) = self.find_stop(before) {
            self.text.truncate(at);
            self.stopped = Some(index);
        }
    }

    /// The begin of the stop text that is complete first behind `from`, and its index.
    fn find_stop(&self, from: usize) -> Option<(usize, usize)> {
        let ends = (from + 1..=self.text.len()).filter(|&end| self.text.is_char_boundary(end));
        ends.filter_map(|end| {
            let complete = self
                .stops
                .iter()
                .enumerate()
                .filter(|(_, stop)| !stop.is_empty() && self.text[..end].ends_with(*stop));
            complete.map(|(index, stop)| (end - stop.len(), index)).min()
        })
        .next()
    }

    /// Releases the text below `end`, and the tokens whose text is out with it.
    fn release(&mut self, end: usize) -> (String, Vec<TextToken>) {
        let text = self.text[self.released..end].to_owned();
        self.released = end;
        let mut tokens = Vec::new();
        while let Some((mut token, token_end)) = self.pending.pop_front() {
            match token_end {
                Some(token_end) if token_end <= end => self.begin = token_end,
                Some(_) if self.stopped.is_some() && self.begin < end => {
                    token.cut(end - self.begin);
                    self.begin = end;
                }
                // Of what a stop text cuts off, nothing is told.
                _ if self.stopped.is_some() => break,
                _ => {
                    self.pending.push_front((token, token_end));
                    break;
                }
            }
            tokens.push(token);
        }
        (text, tokens)
    }

    /// Bytes at the end of the text that may be the beginning of a stop text.
    fn possible_stop(&self) -> usize {
        if self.stopped.is_some() {
            return 0;
        }
        let begins = |stop: &String| {
            let ends = stop.char_indices().map(|(at, _)| at).rev();
            ends.filter(|&len| len > 0).find(|&len| self.text.ends_with(&stop[..len])).unwrap_or(0)
        };
        self.stops.iter().map(begins).max().unwrap_or(0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
