//! Text to token ids and back.

mod bytes;
mod reach;
mod stream;

use std::sync::Arc;

use bytes::Spelling;

use tokenizers::Tokenizer;

pub use stream::TextStream;

use crate::error::{TextError, one_line};

/// A `tokenizer.json` of the Hugging Face tokenizers library. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct TextTokenizer {
    inner: Arc<Tokenizer>,
    spelling: Arc<Option<Spelling>>,
    /// Special tokens that have a text all the same.
    shown: Arc<[u32]>,
}

impl TextTokenizer {
    /// Reads the content of `tokenizer.json`.
    ///
    /// # Errors
    /// When it is not a tokenizer this library knows.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TextError> {
        let mut inner = Tokenizer::from_bytes(bytes).map_err(failed)?;
        // Files made for training may cut or fill every text to a fixed length, which would
        // silently change a prompt.
        inner.with_truncation(None).map_err(failed)?;
        inner.with_padding(None);
        Ok(Self {
            spelling: Arc::new(Spelling::of(&inner)),
            inner: Arc::new(inner),
            shown: Arc::new([]),
        })
    }

    /// The same tokenizer, whose decoded texts have these special tokens' names in them: those that
    /// mark tool calls would be lost otherwise.
    #[must_use]
    pub fn showing(mut self, names: &[&str]) -> Self {
        self.shown = names.iter().filter_map(|name| self.special_id(name)).collect();
        self
    }

    /// The most bytes of a text that one of its tokens can stand for, so that a text of n bytes has
    /// at least n / this tokens. `None` where there is no bound: a normaliser or an added token
    /// takes white space away, unknown characters in a row are one token, or the model is no BPE.
    ///
    /// Goes through the vocabulary: ask once.
    #[must_use]
    pub fn longest_token(&self) -> Option<usize> {
        reach::longest(&self.inner)
    }

    /// The token ids of a text. `add_special` adds what the tokenizer puts around a text, such as
    /// the token that begins it; rendered chat templates bring theirs along and want `false`.
    ///
    /// # Errors
    /// When the text has characters the tokenizer can neither encode nor replace.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TextError> {
        Ok(self.inner.encode_fast(text, add_special).map_err(failed)?.get_ids().to_vec())
    }

    /// The text of token ids, without special tokens other than those shown; bytes that are not
    /// UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TextError> {
        let shown = |id: &u32| self.shown.contains(id);
        if !ids.iter().any(shown) {
            return self.inner.decode(ids, true).map_err(failed);
        }
        let mut text = String::new();
        for part in ids.chunk_by(|a, b| shown(a) == shown(b)) {
            match part {
                [first, ..] if shown(first) => {
                    text.extend(part.iter().filter_map(|&id| self.token_name(id)))
                }
                _ => text.push_str(&self.inner.decode(part, true).map_err(failed)?),
            }
        }
        Ok(text)
    }

    /// The id of a special token.
    #[must_use]
    pub fn special_id(&self, name: &str) -> Option<u32> {
        self.inner.token_to_id(name).filter(|id| self.special_ids().binary_search(id).is_ok())
    }

    /// The bytes that a token stands for inside a text, whole characters or not; an added or
    /// special token's are its name. `None` for an id that is not in the vocabulary, and for
    /// vocabularies whose tokens read otherwise beside others, such as WordPiece's.
    #[must_use]
    pub fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        Some(self.spelling.as_ref().as_ref()?.bytes(&self.inner.id_to_token(id)?))
    }

    /// A token as the vocabulary spells it, such as `Ġhat` or `▁hat`. `None` for an id that is not
    /// in it.
    #[must_use]
    pub fn token_name(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The ids of special tokens, such as those that begin a text or end a turn, in order. They
    /// have no text in what is decoded.
    #[must_use]
    pub fn special_ids(&self) -> Vec<u32> {
        let added = self.inner.get_added_tokens_decoder();
        let mut ids: Vec<u32> =
            added.into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    /// Begins to decode token by token a text that stands alone.
    #[must_use]
    pub fn stream(&self) -> TextStream {
        TextStream::new(self.clone())
    }

    /// Begins to decode token by token what follows `context`, so that a leading space which the
    /// tokenizer strips from texts is kept.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn stream_after(&self, context: &[u32]) -> Result<TextStream, TextError> {
        TextStream::after(self.clone(), context)
    }

    /// One more than the highest token id.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.highest_id().map_or(0, |id| id as usize + 1)
    }

    /// Checks that every id of this tokenizer has an embedding in a model of `vocab` rows. Fewer
    /// ids than rows are usual.
    ///
    /// # Errors
    /// When an id is too high.
    pub fn check(&self, vocab: usize) -> Result<(), TextError> {
        match self.highest_id() {
            Some(highest) if highest as usize >= vocab => {
                Err(TextError::Vocabulary { highest, vocab })
            }
            _ => Ok(()),
        }
    }

    fn highest_id(&self) -> Option<u32> {
        self.inner.get_vocab(true).into_values().max()
    }
}

fn failed(error: tokenizers::Error) -> TextError {
    TextError::Tokenizer { problem: one_line(&error.to_string()) }
}
