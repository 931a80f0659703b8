//! `/openapi.json`: the endpoint's own description.
//!
//! The document is written by hand, since most of what it says - which values exclude each other,
//! which fields have no effect - is in no type. Tests hold it to the paths that are served and to
//! the fields that requests may have.

use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};

const DOCUMENT: &str = include_str!("openapi.json");

/// The document.
pub(crate) async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use super::DOCUMENT;
    use crate::request::{FieldTable, chat, completion};
    use serde_json::Value;

    #[test]
    fn the_fields_described_are_those_that_are_taken() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        for (schema, table) in
            [("ChatRequest", &chat::FIELDS), ("CompletionRequest", &completion::FIELDS)]
        {
            let FieldTable { served, ignored, .. } = table;
            let mut taken: Vec<&str> =
                served.iter().copied().flatten().chain(*ignored).copied().collect();
            let properties =
                document["components"]["schemas"][schema]["properties"].as_object().unwrap();
            let mut described: Vec<&str> = properties.keys().map(String::as_str).collect();
            taken.sort_unstable();
            described.sort_unstable();
            assert_eq!(taken, described, "{schema}");
        }
    }
}
