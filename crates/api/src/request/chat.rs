//! `/v1/chat/completions`: the request's fields.

use super::{
    common::{self, Common, excluded, top_logprobs},
    fields::{FieldTable, Fields},
    format::{ResponseFormat, Schema},
    message::{self, Message},
    sampling,
    tools::{self, Tool, ToolChoice, ToolChoiceField},
};
use crate::{ApiError, Service};
use serde::Deserialize;
use serde_json::Value;

/// What is done with the fields of a chat completion.
pub(crate) const FIELDS: FieldTable = FieldTable {
    served: &[
        common::FIELDS,
        sampling::FIELDS,
        &[
            "messages",
            "max_completion_tokens",
            "logprobs",
            "top_logprobs",
            "response_format",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
        ],
    ],
    ignored: &[
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prediction",
    ],
    unsupported: &[
        ("audio", "null"),
        ("modalities", "[\"text\"]"),
        ("web_search_options", "null"),
        ("reasoning_effort", "null"),
        ("verbosity", "null"),
        ("functions", "[]"),
        ("function_call", "null"),
    ],
};

/// Most likely tokens that are told beside a token.
const MAX_TOP_LOGPROBS: usize = 20;

/// A request, checked.
#[derive(Debug)]
pub(crate) struct ChatRequest {
    pub(crate) common: Common,
    /// As they were sent, checked.
    pub(crate) messages: Vec<Value>,
    /// As templates read them.
    pub(crate) tools: Vec<Value>,
    pub(crate) tool_choice: ToolChoice,
    /// Whether an answer may have several calls.
    pub(crate) parallel_calls: bool,
    /// The schema that the text is held to.
    pub(crate) schema: Option<Schema>,
    /// How many likely tokens are told beside each.
    pub(crate) logprobs: Option<usize>,
}

#[derive(Deserialize)]
struct Wire {
    messages: Vec<Message>,
    logprobs: Option<bool>,
    top_logprobs: Option<usize>,
    response_format: Option<ResponseFormat>,
    tools: Option<Vec<Tool>>,
    tool_choice: Option<ToolChoiceField>,
    parallel_tool_calls: Option<bool>,
}

impl ChatRequest {
    pub(crate) fn read(service: &Service, fields: &Fields) -> Result<Self, ApiError> {
        let common = Common::read(service, fields)?;
        let wire: Wire = fields.read()?;
        let tools = tools::for_template(wire.tools.unwrap_or_default())?;
        let tool_choice = match wire.tool_choice {
            Some(choice) => choice.checked(&tools)?,
            None if tools.is_empty() => ToolChoice::None,
            None => ToolChoice::Auto,
        };
        let logprobs = match (wire.logprobs.unwrap_or(false), wire.top_logprobs) {
            (false, Some(_)) => {
                let message = "'top_logprobs' is only allowed when 'logprobs' is enabled.";
                return Err(ApiError::field("top_logprobs", message));
            }
            (false, None) => None,
            (true, top) => Some(top_logprobs("top_logprobs", top.unwrap_or(0), MAX_TOP_LOGPROBS)?),
        };
        let schema = wire.response_format.map(ResponseFormat::schema).transpose()?.flatten();
        if schema.is_some() && matches!(tool_choice, ToolChoice::Required | ToolChoice::Named(_)) {
            return Err(excluded("response_format", "a 'tool_choice' that requires a call"));
        }
        message::check(&wire.messages)?;
        let messages = fields.array("messages");
        Ok(Self {
            common,
            messages,
            tools,
            tool_choice,
            parallel_calls: wire.parallel_tool_calls.unwrap_or(true),
            schema,
            logprobs,
        })
    }
}
