//! Grammar of a chat's answer: a schema, tool calls, or either.

use crate::{
    ApiError, Service,
    request::{Schema, ToolChoice, chat::ChatRequest},
};
use serde_json::{Value, json};
use tricorn_device::constraint::{ConstraintError, Grammar, check_schema};
use tricorn_text::tool_calls;

/// What the answer must follow; `None` where it is free.
pub(super) fn of(service: &Service, request: &ChatRequest) -> Result<Option<Grammar>, ApiError> {
    let calls = match &request.tool_choice {
        ToolChoice::None => None,
        // Text that may be anything may be a call.
        ToolChoice::Auto if request.schema.is_none() => None,
        ToolChoice::Auto | ToolChoice::Required => {
            Some(calls(service, request, tool_calls::ToolChoice::Required)?)
        }
        ToolChoice::Named(name) => {
            Some(calls(service, request, tool_calls::ToolChoice::Named(name))?)
        }
    };
    match (&request.schema, calls) {
        (None, None) => Ok(None),
        (Some(schema), None) => json(service, schema).map(Some),
        (None, Some(calls)) => {
            lark(service, &calls).map(Some).map_err(|error| ApiError::grammar("tools", &error))
        }
        (Some(schema), Some(calls)) => either(service, schema, &calls).map(Some),
    }
}

/// A grammar in Lark of answers that are calls and nothing else.
fn calls(
    service: &Service,
    request: &ChatRequest,
    choice: tool_calls::ToolChoice<'_>,
) -> Result<String, ApiError> {
    for (index, tool) in request.tools.iter().enumerate() {
        if let Some(parameters) = tool.pointer("/function/parameters") {
            check_schema(parameters).map_err(|error| {
                ApiError::grammar(format!("tools[{index}].function.parameters"), &error)
            })?;
        }
    }
    let lark =
        service.engine.prompter().tool_grammar(&request.tools, choice, request.parallel_calls);
    lark.map_err(|error| ApiError::coded("invalid_value", "tools", error.to_string()))
}

fn json(service: &Service, Schema { schema, param }: &Schema) -> Result<Grammar, ApiError> {
    service
        .grammars()
        .and_then(|grammars| grammars.json_schema(schema))
        .map_err(|error| ApiError::grammar(*param, &error))
}

fn lark(service: &Service, lark: &str) -> Result<Grammar, ConstraintError> {
    service.grammars().and_then(|grammars| grammars.lark(lark))
}

/// JSON of the schema, or `calls`: the model's first token decides.
fn either(service: &Service, schema: &Schema, calls: &str) -> Result<Grammar, ApiError> {
    check_schema(&schema.schema).map_err(|error| ApiError::grammar(schema.param, &error))?;
    let mut answer = match &schema.schema {
        Value::Bool(true) => json!({}),
        other => other.clone(),
    };
    if let Value::Object(keywords) = &mut answer {
        // As in the calls: free blanks are room for a model to go round in.
        keywords.insert(
            "x-guidance".to_owned(),
            json!({ "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": " }),
        );
    }
    let both = format!(
        "start: answer | calls\nanswer: %json {answer}\n{}",
        calls.replacen("start:", "calls:", 1)
    );
    lark(service, &both).or_else(|error| {
        // Whichever is at fault alone is named.
        json(service, schema)?;
        Err(ApiError::grammar("tools", &error))
    })
}
