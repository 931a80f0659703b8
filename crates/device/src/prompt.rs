//! Text to tokens and back.

use crate::DeviceError;
use tricorn_model::{ChatTemplate, ModelError, ModelSource, TextTokenizer, template::Message, tokenizer::TextStream};

/// A model's tokenizer and chat template.
#[derive(Debug)]
pub struct Prompter {
    tokenizer: TextTokenizer,
    template: Option<ChatTemplate>,
}

impl Prompter {
    /// Reads both from a model's files.
    ///
    /// # Errors
    /// When a file is missing or broken, or the tokenizer belongs to another model.
    pub fn load(source: &ModelSource) -> Result<Self, ModelError> {
        Ok(Self { tokenizer: source.tokenizer()?, template: source.template()? })
    }

    /// The tokens of a text as it is, with the special tokens that the tokenizer puts around a text.
    ///
    /// # Errors
    /// When there is no text.
    pub fn raw(&self, text: &str) -> Result<Vec<u32>, DeviceError> {
        if text.is_empty() {
            return Err(DeviceError::EmptyPrompt);
        }
        Ok(self.tokenizer.encode(text, true)?)
    }

    /// The tokens of a conversation that the model is to answer.
    ///
    /// # Errors
    /// When the last message is empty, or the model has no chat template or one that refuses the conversation.
    pub fn chat(&self, messages: &[Message]) -> Result<Vec<u32>, DeviceError> {
        if messages.last().is_none_or(|message| message.content.trim().is_empty()) {
            return Err(DeviceError::EmptyPrompt);
        }
        self.special(&self.render(messages)?)
    }

    /// A conversation as the model's template writes it, up to where the answer begins.
    pub(crate) fn render(&self, messages: &[Message]) -> Result<String, DeviceError> {
        Ok(self.template.as_ref().ok_or(DeviceError::NoTemplate)?.render(messages, true)?)
    }

    /// The tokens of a text that brings its special tokens along, as templates write it.
    pub(crate) fn special(&self, rendered: &str) -> Result<Vec<u32>, DeviceError> {
        Ok(self.tokenizer.encode(rendered, false)?)
    }

    /// The text of a reply to `prompt`, token by token.
    ///
    /// # Errors
    /// When the tokenizer cannot decode the prompt.
    pub fn reply<'a>(&self, prompt: &[u32], stop_tokens: &'a [u32]) -> Result<Reply<'a>, ModelError> {
        Ok(Reply { stream: self.tokenizer.stream_after(prompt)?, stop_tokens, text: String::new() })
    }
}

/// A reply's text as it grows.
#[derive(Debug)]
pub struct Reply<'a> {
    stream: TextStream,
    stop_tokens: &'a [u32],
    text: String,
}

impl Reply<'_> {
    /// What `token` adds to the text; often nothing until a character is whole, and never the text of a stop token.
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
