//! Input of a chat template: messages and tools.

use serde_json::{Map, Value};

use super::failed;
use crate::error::TextError;

/// A conversation with all that transformers' `apply_chat_template` takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatInput {
    /// Objects with `role`, `content` and whatever else the template reads, such as `tool_calls`.
    pub messages: Vec<Value>,
    /// The tools, as OpenAI's API describes them; templates see none where there are none.
    pub tools: Vec<Value>,
    /// Documents for templates that cite them.
    pub documents: Vec<Value>,
    /// Further variables, such as `enable_thinking` or `date_string`. Those above go before ones of
    /// the same name.
    pub variables: Map<String, Value>,
    /// How the prompt ends.
    pub ending: Ending,
}

/// How a prompt ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// Where the assistant's answer begins (`add_generation_prompt`).
    #[default]
    Answer,
    /// Within the last message, which the model goes on writing (`continue_final_message`).
    Continue,
    /// Behind the last message.
    Closed,
}

/// What transformers appends to a message that is to be continued, to find its end again.
const MARK: &str = "CONTINUE_FINAL_MESSAGE_TAG ";

/// Messages of which the last is to be continued: its text is marked, and what the template writes
/// from the mark on is cut off.
#[derive(Debug)]
pub(super) struct Continued {
    pub(super) messages: Vec<Value>,
    text: String,
}

impl Continued {
    pub(super) fn mark(messages: &[Value]) -> Result<Self, TextError> {
        let mut messages = messages.to_vec();
        let text = messages
            .last_mut()
            .and_then(last_text)
            .ok_or_else(|| failed("the last message has no text to go on from".to_owned()))?;
        let unmarked = text.clone();
        text.push_str(MARK);
        Ok(Self { messages, text: unmarked })
    }

    pub(super) fn cut(&self, mut rendered: String) -> Result<String, TextError> {
        let lost =
            || failed("it changes the last message, so the answer cannot go on from it".to_owned());
        let end = rendered
            .rfind(MARK.trim_end())
            .filter(|_| rendered.contains(self.text.trim()))
            .ok_or_else(lost)?;
        let kept = rendered[end..].starts_with(MARK);
        rendered.truncate(end);
        // A template that took the mark's space took the message's too.
        if !kept {
            rendered.truncate(rendered.trim_end().len());
        }
        Ok(rendered)
    }
}

/// The text of a message, or of the last of its parts that has one.
fn last_text(message: &mut Value) -> Option<&mut String> {
    let text = match message.get_mut("content")? {
        Value::Array(parts) => parts.iter_mut().rev().find_map(|part| part.get_mut("text"))?,
        content => content,
    };
    match text {
        Value::String(text) => Some(text),
        _ => None,
    }
}
