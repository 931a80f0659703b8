//! Fields of a request: served, without effect, or refused.

use crate::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

/// Most characters of a name that an error repeats.
const MAX_SHOWN: usize = 64;
/// Most characters of what is told of a wrong type or value, which repeats it.
const MAX_PROBLEM: usize = 256;

/// What an endpoint does with every field that OpenAI's API knows, and with its own.
#[derive(Debug)]
pub(crate) struct FieldTable {
    /// Fields that have their effect, in groups that endpoints share.
    pub(crate) served: &'static [&'static [&'static str]],
    /// Fields that clients send and that have no effect on the text: accounts, caches, tiers.
    pub(crate) ignored: &'static [&'static str],
    /// Fields that would have an effect which is not offered, each with the value that asks for
    /// nothing, as JSON.
    pub(crate) unsupported: &'static [(&'static str, &'static str)],
}

/// A request's fields, each known to its endpoint.
#[derive(Debug)]
pub(crate) struct Fields(Value);

impl Fields {
    pub(super) fn parse(bytes: &[u8], table: &FieldTable) -> Result<Self, ApiError> {
        let map: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|error| ApiError::Invalid {
                message: format!(
                    "We could not parse the JSON body of your request: {}. The API expects a JSON \
                     object.",
                    cut(&error.to_string(), MAX_PROBLEM)
                ),
                param: None,
                code: Some("invalid_json"),
            })?;
        table.check(&map)?;
        Ok(Self(Value::Object(map)))
    }

    /// Some of the fields, as a type that names them.
    ///
    /// # Errors
    /// Names the field that is of another type, by its path.
    pub(crate) fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ApiError> {
        serde_path_to_error::deserialize(&self.0).map_err(|error| wrong_type(&error))
    }

    /// The elements of an array, as they were sent; none where the field is no array.
    pub(super) fn array(&self, field: &str) -> Vec<Value> {
        self.0.get(field).and_then(Value::as_array).cloned().unwrap_or_default()
    }
}

impl FieldTable {
    fn check(&self, map: &Map<String, Value>) -> Result<(), ApiError> {
        let known = |name: &str| {
            self.served.iter().any(|fields| fields.contains(&name))
                || self.ignored.contains(&name)
                || self.unsupported.iter().any(|&(field, _)| field == name)
        };
        let mut unknown = map.keys().map(String::as_str).filter(|name| !known(name));
        if let Some(first) = unknown.next() {
            let first = shown(first);
            let rest: Vec<String> = unknown.take(9).map(shown).collect();
            let message = if rest.is_empty() {
                format!("Unrecognized request argument supplied: {first}")
            } else {
                format!("Unrecognized request arguments supplied: {first}, {}", rest.join(", "))
            };
            return Err(ApiError::coded("unknown_parameter", first, message));
        }
        for &(field, neutral) in self.unsupported {
            let asks = |value: &&Value| {
                !value.is_null()
                    && serde_json::from_str::<Value>(neutral).ok().as_ref() != Some(*value)
            };
            if map.get(field).filter(asks).is_some() {
                return Err(unsupported(field));
            }
        }
        Ok(())
    }
}

/// A field, or a value of one, that OpenAI's API has and this endpoint has not.
pub(super) fn unsupported(param: impl Into<String>) -> ApiError {
    let param = param.into();
    let message = format!("Unsupported parameter: '{param}' is not supported with this model.");
    ApiError::coded("unsupported_parameter", param, message)
}

fn wrong_type(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let path = path(error.path());
    let problem = error.inner().to_string();
    if let Some(field) =
        problem.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next())
    {
        let field = shown(field);
        let param = if path.ends_with(&field) { path } else { format!("{path}.{field}") };
        let message = format!("Unknown parameter: '{param}'.");
        return ApiError::coded("unknown_parameter", param, message);
    }
    if let Some(field) =
        problem.strip_prefix("missing field `").and_then(|rest| rest.split('`').next())
    {
        let param = if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
        let message = format!("Missing required parameter: '{param}'.");
        return ApiError::coded("missing_required_parameter", param, message);
    }
    let code = if problem.starts_with("invalid type") { "invalid_type" } else { "invalid_value" };
    let message = format!("Invalid value for '{path}': {}.", cut(&problem, MAX_PROBLEM));
    ApiError::coded(code, path, message)
}

/// A name or value of a request as errors repeat it.
pub(super) fn shown(text: &str) -> String {
    cut(text, MAX_SHOWN)
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_owned(),
    }
}

/// A path as OpenAI writes it: `messages[0].content`.
fn path(path: &serde_path_to_error::Path) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key } => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(&shown(key));
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    text
}
