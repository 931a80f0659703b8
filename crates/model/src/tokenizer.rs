//! Text to token ids and back.

mod stream;

use std::sync::Arc;

use tokenizers::Tokenizer;

pub use stream::TextStream;

use crate::error::{ModelError, one_line};

/// A `tokenizer.json` of the Hugging Face tokenizers library. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct TextTokenizer {
    inner: Arc<Tokenizer>,
}

impl TextTokenizer {
    /// Reads the content of `tokenizer.json`.
    ///
    /// # Errors
    /// When it is not a tokenizer this library knows.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut inner = Tokenizer::from_bytes(bytes).map_err(failed)?;
        // Files made for training may cut or fill every text to a fixed length, which would silently change a prompt.
        inner.with_truncation(None).map_err(failed)?;
        inner.with_padding(None);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The token ids of a text. `add_special` adds what the tokenizer puts around a text, such as the token that begins it; rendered chat
    /// templates bring theirs along and want `false`.
    ///
    /// # Errors
    /// When the text has characters the tokenizer can neither encode nor replace.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, ModelError> {
        Ok(self.inner.encode_fast(text, add_special).map_err(failed)?.get_ids().to_vec())
    }

    /// The text of token ids, without special tokens; bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, ModelError> {
        self.inner.decode(ids, true).map_err(failed)
    }

    /// Begins to decode token by token a text that stands alone.
    #[must_use]
    pub fn stream(&self) -> TextStream {
        TextStream::new(self.clone())
    }

    /// Begins to decode token by token what follows `context`, so that a leading space which the tokenizer strips from texts is kept.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn stream_after(&self, context: &[u32]) -> Result<TextStream, ModelError> {
        TextStream::after(self.clone(), context)
    }

    /// One more than the highest token id.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.highest_id().map_or(0, |id| id as usize + 1)
    }

    /// Checks that every id of this tokenizer has an embedding in a model of `vocab` rows. Fewer ids than rows are usual.
    ///
    /// # Errors
    /// When an id is too high.
    pub fn check(&self, vocab: usize) -> Result<(), ModelError> {
        match self.highest_id() {
            Some(highest) if highest as usize >= vocab => Err(ModelError::TokenizerMismatch { highest, vocab }),
            _ => Ok(()),
        }
    }

    fn highest_id(&self) -> Option<u32> {
        self.inner.get_vocab(true).into_values().max()
    }
}

fn failed(error: tokenizers::Error) -> ModelError {
    ModelError::Tokenizer { problem: one_line(&error.to_string()) }
}
