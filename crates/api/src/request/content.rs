//! Content of a message: a string, or parts, of which only text is served.

use super::fields::{shown, unsupported};
use crate::ApiError;
use serde::Deserialize;

/// A message's content.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string or an array of content parts")]
pub(super) enum Content {
    Text(#[expect(dead_code, reason = "templates read it as it was sent")] String),
    Parts(Vec<Part>),
}

/// One part. The fields of other kinds than text are not looked at: the kind is refused.
#[derive(Deserialize)]
pub(super) struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

impl Content {
    /// Whether all of message `index` is text.
    pub(super) fn check(&self, index: usize) -> Result<(), ApiError> {
        let parts = match self {
            Self::Text(_) => return Ok(()),
            Self::Parts(parts) => parts,
        };
        for (at, part) in parts.iter().enumerate() {
            let param = format!("messages[{index}].content[{at}]");
            match part.kind.as_str() {
                "text" if part.text.is_none() => {
                    let message = format!("Missing required parameter: '{param}.text'.");
                    return Err(ApiError::coded(
                        "missing_required_parameter",
                        format!("{param}.text"),
                        message,
                    ));
                }
                "text" => {}
                "image_url" | "input_audio" | "file" | "refusal" => {
                    return Err(unsupported(format!("{param}.{}", part.kind)));
                }
                other => {
                    let other = shown(other);
                    let message =
                        format!("Invalid value: '{other}'. The supported value is: 'text'.");
                    return Err(ApiError::coded("invalid_value", format!("{param}.type"), message));
                }
            }
        }
        Ok(())
    }
}
