//! `response_format`: free text, or JSON that the text is held to.

use super::fields::shown;
use crate::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

/// The form of an answer.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum ResponseFormat {
    Text {},
    JsonObject {},
    JsonSchema { json_schema: NamedSchema },
}

/// A schema with its name. Texts are held to every schema, whether it is `strict` or not.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedSchema {
    name: String,
    #[serde(rename = "description")]
    _description: Option<String>,
    schema: Option<Value>,
    #[serde(rename = "strict")]
    _strict: Option<bool>,
}

/// JSON that a text is held to.
#[derive(Debug)]
pub(crate) struct Schema {
    /// What describes it.
    pub(crate) schema: Value,
    /// The field that brought it.
    pub(crate) param: &'static str,
}

impl ResponseFormat {
    /// What the text is held to; `None` for free text.
    pub(super) fn schema(self) -> Result<Option<Schema>, ApiError> {
        let (schema, param) = match self {
            Self::Text {} => return Ok(None),
            Self::JsonObject {} => (json!({ "type": "object" }), "response_format"),
            Self::JsonSchema { json_schema: NamedSchema { schema: Some(schema), .. } } => {
                (schema, "response_format.json_schema.schema")
            }
            Self::JsonSchema { json_schema } => {
                let param = "response_format.json_schema.schema";
                let message = format!(
                    "Missing required parameter: '{param}' (of '{}').",
                    shown(&json_schema.name)
                );
                return Err(ApiError::coded("missing_required_parameter", param, message));
            }
        };
        Ok(Some(Schema { schema, param }))
    }
}
