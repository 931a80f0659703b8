//! Tool calls in what a model writes.
//!
//! A template that takes tools teaches the model one way to call them. [`ToolStyle`] names the ways
//! known here, [`ToolCallParser`] finds calls in a text as it grows, and [`ToolStyle::grammar`] is
//! what a text must follow that has to be a call.

mod grammar;
mod json;
mod parser;

pub use grammar::{ToolChoice, ToolError};
pub use parser::{Parsed, ToolCallParser};

/// How a model writes a call, as its chat template shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolStyle {
    /// `{"name": "f", "parameters": {..}}` as the whole answer, perhaps behind `<|python_tag|>`;
    /// Llama 3.1 to 3.3.
    Llama,
    /// `<tool_call>{"name": "f", "arguments": {..}}</tool_call>`, any number of times; Hermes, Qwen
    /// 2.5 and 3.
    Hermes,
    /// `[TOOL_CALLS][{"name": "f", "arguments": {..}}, ..]`; Mistral's models from 7B v0.3 on.
    Mistral,
}

/// A call that a model wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// What the model calls it, where it writes an id.
    pub id: Option<String>,
    /// The function's name.
    pub name: String,
    /// Its arguments, the JSON object as the model wrote it.
    pub arguments: String,
}

impl ToolStyle {
    /// What a chat template's source shows.
    #[must_use]
    pub fn of(source: &str) -> Option<Self> {
        // Others put something else than JSON between the same tags.
        let xml = source.contains("<function=") || source.contains("<arg_key>");
        if source.contains("<tool_call>") && source.contains("arguments") && !xml {
            Some(Self::Hermes)
        } else if source.contains("[TOOL_CALLS]") && !source.contains("[ARGS]") {
            Some(Self::Mistral)
        } else if source.contains("<|start_header_id|>ipython") && source.contains("\"parameters\"")
        {
            Some(Self::Llama)
        } else {
            None
        }
    }

    /// Texts that mark calls. Where the vocabulary has them as special tokens, they have to be kept
    /// when an answer is decoded.
    #[must_use]
    pub const fn markers(self) -> &'static [&'static str] {
        match self {
            Self::Llama => &["<|python_tag|>"],
            Self::Hermes => &["<tool_call>", "</tool_call>"],
            Self::Mistral => &["[TOOL_CALLS]"],
        }
    }
}

#[cfg(test)]
mod tests;
