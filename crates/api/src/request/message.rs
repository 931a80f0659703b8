//! The messages of a chat, checked. Templates read them as they were sent.

use super::{content::Content, fields::unsupported};
use crate::ApiError;
use serde::Deserialize;
use serde_json::Value;

/// A message as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    role: Role,
    content: Option<Content>,
    #[serde(rename = "name")]
    _name: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
    tool_call_id: Option<String>,
    /// Deprecated, and sent back by clients as null.
    function_call: Option<Value>,
    audio: Option<Value>,
    /// Part of this endpoint's own answers, which clients send back.
    #[serde(rename = "annotations")]
    _annotations: Option<Value>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Role {
    Developer,
    System,
    User,
    Assistant,
    Tool,
    Function,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolCall {
    #[serde(rename = "id")]
    _id: String,
    #[serde(rename = "type")]
    _kind: Option<Kind>,
    #[serde(rename = "function")]
    _function: Call,
    /// Part of streamed calls, which clients send back.
    #[serde(rename = "index")]
    _index: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Function,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "arguments")]
    _arguments: String,
}

/// Checks what the types cannot say.
pub(super) fn check(messages: &[Message]) -> Result<(), ApiError> {
    if messages.is_empty() {
        let message = "Invalid 'messages': empty array. Expected an array with minimum length 1, \
                       but got an empty array instead.";
        return Err(ApiError::coded("empty_array", "messages", message));
    }
    messages.iter().enumerate().try_for_each(|(index, message)| message.check(index))
}

impl Message {
    fn check(&self, index: usize) -> Result<(), ApiError> {
        let at = |field: &str| format!("messages[{index}].{field}");
        for (field, value) in [("function_call", &self.function_call), ("audio", &self.audio)] {
            if value.is_some() {
                return Err(unsupported(at(field)));
            }
        }
        let calls = self.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty());
        if calls && self.role != Role::Assistant {
            return Err(ApiError::field(
                at("tool_calls"),
                "Only messages of the role 'assistant' may have 'tool_calls'.",
            ));
        }
        match &self.content {
            Some(content) => content.check(index)?,
            None if calls || (self.role == Role::Assistant && self.refusal.is_some()) => {}
            None => {
                let message =
                    format!("Invalid value for '{}': expected a string, got null.", at("content"));
                return Err(ApiError::coded("invalid_type", at("content"), message));
            }
        }
        if self.role == Role::Tool && self.tool_call_id.is_none() {
            let message = format!(
                "Missing parameter '{}': messages with role 'tool' must have one.",
                at("tool_call_id")
            );
            return Err(ApiError::coded("missing_required_parameter", at("tool_call_id"), message));
        }
        Ok(())
    }
}
