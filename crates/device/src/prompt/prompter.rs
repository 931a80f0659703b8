//! Prompter: a model's tokenizer and chat template.

use super::reply::Reply;
use crate::error::DeviceError;
use serde_json::Value;
use tricorn_model::{ModelError, ModelSource};
use tricorn_text::{
    ChatTemplate, TextTokenizer,
    template::{ChatInput, Message},
    tool_calls::{ToolCallParser, ToolChoice, ToolError, ToolStyle},
};

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
        Ok(Self::new(source.tokenizer()?, source.template()?))
    }

    pub(super) fn new(tokenizer: TextTokenizer, template: Option<ChatTemplate>) -> Self {
        let markers = template
            .as_ref()
            .and_then(ChatTemplate::tool_style)
            .map_or(&[][..], ToolStyle::markers);
        Self { tokenizer: tokenizer.showing(markers), template }
    }

    /// The tokens of a text as it is, with the special tokens that the tokenizer puts around a
    /// text.
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
    /// When the last message is empty, or the model has no chat template or one that refuses the
    /// conversation.
    pub fn chat(&self, messages: &[Message]) -> Result<Vec<u32>, DeviceError> {
        if messages.last().is_none_or(|message| message.content.trim().is_empty()) {
            return Err(DeviceError::EmptyPrompt);
        }
        self.special(&self.written(messages)?)
    }

    /// A conversation as the model's template writes it, up to where the answer begins.
    pub(crate) fn written(&self, messages: &[Message]) -> Result<String, DeviceError> {
        Ok(self.template()?.render(messages, true)?)
    }

    /// A conversation of OpenAI's API as the model's template writes it: messages of any kind, in
    /// any order that the template takes.
    ///
    /// # Errors
    /// When there is no message, or the model has no chat template or one that refuses the
    /// conversation.
    pub fn render(&self, input: &ChatInput) -> Result<String, DeviceError> {
        if input.messages.is_empty() {
            return Err(DeviceError::EmptyPrompt);
        }
        let template = self.template()?;
        let messages = template.openai_messages(&input.messages);
        Ok(template.render_chat(&ChatInput { messages, ..input.clone() })?)
    }

    /// How the model writes tool calls; `None` where it has no tools, or calls them in a way that
    /// is not known.
    #[must_use]
    pub fn tool_style(&self) -> Option<ToolStyle> {
        self.template.as_ref().and_then(ChatTemplate::tool_style)
    }

    /// Finds calls of these tools in an answer's text. `None` where [`Self::tool_style`] is.
    #[must_use]
    pub fn tool_parser(&self, tools: &[Value]) -> Option<ToolCallParser> {
        Some(ToolCallParser::new(self.tool_style()?, tools))
    }

    /// A grammar in Lark of answers that call what `choice` asks for, and are nothing else; at most
    /// one call unless `several`.
    ///
    /// # Errors
    /// When the model cannot call tools, these are not what they should be, or the one asked for is
    /// not among them.
    pub fn tool_grammar(
        &self,
        tools: &[Value],
        choice: ToolChoice<'_>,
        several: bool,
    ) -> Result<String, ToolError> {
        self.tool_style()
            .ok_or(ToolError::NoStyle)?
            .grammar(tools, choice, several, |marker| self.tokenizer.special_id(marker))
    }

    fn template(&self) -> Result<&ChatTemplate, DeviceError> {
        self.template.as_ref().ok_or(DeviceError::NoTemplate)
    }

    /// The tokens of a text that brings its special tokens along, as [`Self::render`] writes it.
    ///
    /// # Errors
    /// When the tokenizer can neither encode nor replace a character.
    pub fn special(&self, rendered: &str) -> Result<Vec<u32>, DeviceError> {
        Ok(self.tokenizer.encode(rendered, false)?)
    }

    /// The text of one token, with U+FFFD for parts of characters, and its bytes; both are empty
    /// for an id without text.
    #[must_use]
    pub fn token_text(&self, id: u32) -> (String, Vec<u8>) {
        let bytes = self
            .tokenizer
            .token_bytes(id)
            .or_else(|| self.tokenizer.token_name(id).map(String::into_bytes))
            .unwrap_or_default();
        (String::from_utf8_lossy(&bytes).into_owned(), bytes)
    }

    /// The model's tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// The text of a reply to `prompt`, token by token.
    ///
    /// # Errors
    /// When the tokenizer cannot decode the prompt.
    pub fn reply<'a>(
        &self,
        prompt: &[u32],
        stop_tokens: &'a [u32],
    ) -> Result<Reply<'a>, ModelError> {
        Ok(Reply::new(self.tokenizer.stream_after(prompt)?, stop_tokens))
    }
}
