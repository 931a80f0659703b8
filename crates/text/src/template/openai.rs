//! Messages of OpenAI's API as chat templates want them.
//!
//! Templates were written for Python's dictionaries: text is a string, arguments of a call are a
//! dictionary, and what is not there is absent. OpenAI's API has lists of parts, arguments as a
//! JSON text and empty lists of calls. Servers such as vLLM and llama.cpp do the same.

use serde_json::Value;

use super::ChatTemplate;
use crate::tool_calls::ToolStyle;

/// Characters of a tool call's id in Mistral's templates.
const MISTRAL_ID: usize = 9;

pub(super) fn message(message: &Value, template: &ChatTemplate) -> Value {
    let Value::Object(fields) = message else { return message.clone() };
    let field = |(name, value): (&String, &Value)| {
        let value = match (name.as_str(), value) {
            ("role", Value::String(role)) => Value::from(known_role(role, template)),
            ("content", Value::Array(parts)) => joined(parts).unwrap_or_else(|| value.clone()),
            ("tool_calls", Value::Array(calls)) if calls.is_empty() => return None,
            ("tool_calls", Value::Array(calls)) => {
                calls.iter().map(|call| tool_call(call, template.tool_style())).collect()
            }
            ("tool_call_id", Value::String(id)) => Value::from(known_id(id, template.tool_style())),
            _ => value.clone(),
        };
        Some((name.clone(), value))
    };
    fields.iter().filter_map(field).collect()
}

/// `developer` is what newer clients call `system`, `function` what older ones call `tool`.
fn known_role<'a>(role: &'a str, template: &ChatTemplate) -> &'a str {
    match role {
        "developer" if !template.knows_developers => "system",
        "function" => "tool",
        known => known,
    }
}

/// The text of parts that are all text.
fn joined(parts: &[Value]) -> Option<Value> {
    let text = |part: &Value| match (part.get("type").and_then(Value::as_str), part) {
        (_, Value::String(text)) => Some(text.clone()),
        (Some("text"), part) => part.get("text")?.as_str().map(str::to_owned),
        _ => None,
    };
    let texts: Vec<String> = parts.iter().map(text).collect::<Option<_>>()?;
    Some(Value::from(texts.join("\n")))
}

fn tool_call(call: &Value, style: Option<ToolStyle>) -> Value {
    let mut call = call.clone();
    if let Some(Value::String(id)) = call.get_mut("id") {
        *id = known_id(id, style);
    }
    if let Some(arguments) = call.pointer_mut("/function/arguments") {
        // Arguments that are no JSON stay the text that they are.
        if let Some(parsed) = arguments.as_str().and_then(|text| serde_json::from_str(text).ok()) {
            *arguments = parsed;
        }
    }
    call
}

/// Mistral's templates refuse ids that are not nine letters or digits, so others are cut and
/// filled, the same way in calls and answers.
fn known_id(id: &str, style: Option<ToolStyle>) -> String {
    if style != Some(ToolStyle::Mistral)
        || (id.len() == MISTRAL_ID && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    {
        return id.to_owned();
    }
    let last: Vec<char> =
        id.chars().rev().filter(char::is_ascii_alphanumeric).take(MISTRAL_ID).collect();
    let fill = std::iter::repeat_n('0', MISTRAL_ID - last.len());
    fill.chain(last.into_iter().rev()).collect()
}
