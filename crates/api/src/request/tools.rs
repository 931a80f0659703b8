//! Tools that a model may call, and which of them it must.

use super::fields::{shown, unsupported};
use crate::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

/// Most tools of a request.
const MAX_TOOLS: usize = 128;
/// Most characters of a tool's name.
const MAX_NAME: usize = 64;

/// A tool as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    #[serde(rename = "type")]
    kind: String,
    function: Option<Function>,
    /// Of kinds that are refused by their name.
    #[serde(rename = "custom")]
    _custom: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
    #[serde(rename = "strict")]
    _strict: Option<bool>,
}

/// `tool_choice` as it is sent.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected 'none', 'auto', 'required' or an object that names a function"
)]
pub(super) enum ToolChoiceField {
    Mode(String),
    Named { r#type: String, function: Option<Named> },
}

#[derive(Deserialize)]
pub(super) struct Named {
    name: String,
}

/// What a model must do with its tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ToolChoice {
    /// Answer in words.
    None,
    /// Either.
    #[default]
    Auto,
    /// Call at least one.
    Required,
    /// Call this one.
    Named(String),
}

/// The tools as templates read them.
pub(super) fn for_template(tools: Vec<Tool>) -> Result<Vec<Value>, ApiError> {
    if tools.len() > MAX_TOOLS {
        let message =
            format!("Invalid 'tools': {} were given, and {MAX_TOOLS} are allowed.", tools.len());
        return Err(ApiError::coded("array_above_max_length", "tools", message));
    }
    tools.into_iter().enumerate().map(|(index, tool)| tool.for_template(index)).collect()
}

impl Tool {
    fn for_template(self, index: usize) -> Result<Value, ApiError> {
        let at = |field: &str| format!("tools[{index}].{field}");
        if self.kind != "function" {
            return Err(unsupported(at("type")));
        }
        let Some(function) = self.function else {
            let message = format!("Missing required parameter: '{}'.", at("function"));
            return Err(ApiError::coded("missing_required_parameter", at("function"), message));
        };
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if function.name.is_empty()
            || function.name.len() > MAX_NAME
            || !function.name.bytes().all(good)
        {
            let message = format!(
                "Invalid '{}': use 1 to {MAX_NAME} of the characters a-z, A-Z, 0-9, '_' and '-'.",
                at("function.name")
            );
            return Err(ApiError::coded("invalid_value", at("function.name"), message));
        }
        let parameters =
            function.parameters.unwrap_or_else(|| json!({ "type": "object", "properties": {} }));
        if !parameters.is_object() {
            return Err(ApiError::coded(
                "invalid_type",
                at("function.parameters"),
                "Invalid 'parameters': expected a JSON schema.",
            ));
        }
        let description = function.description.unwrap_or_default();
        Ok(json!({ "type": "function", "function": {
            "name": function.name, "description": description, "parameters": parameters
        } }))
    }
}

impl ToolChoiceField {
    /// Checked against the tools that there are.
    pub(super) fn checked(self, tools: &[Value]) -> Result<ToolChoice, ApiError> {
        let invalid = |message: String| ApiError::coded("invalid_value", "tool_choice", message);
        let choice = match self {
            Self::Mode(mode) => match mode.as_str() {
                "none" => ToolChoice::None,
                "auto" => ToolChoice::Auto,
                "required" => ToolChoice::Required,
                other => {
                    let other = shown(other);
                    return Err(invalid(format!(
                        "Invalid value: '{other}'. Supported values are: 'none', 'auto', and \
                         'required'."
                    )));
                }
            },
            Self::Named { r#type, function: Some(Named { name }) } if r#type == "function" => {
                if !tools.iter().any(|tool| tool["function"]["name"] == name.as_str()) {
                    return Err(invalid(format!(
                        "Tool choice '{}' not found in 'tools' parameter.",
                        shown(&name)
                    )));
                }
                ToolChoice::Named(name)
            }
            Self::Named { .. } => return Err(unsupported("tool_choice.type")),
        };
        if tools.is_empty() && choice != ToolChoice::None {
            return Err(invalid(
                "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are \
                 specified."
                    .to_owned(),
            ));
        }
        Ok(choice)
    }
}
