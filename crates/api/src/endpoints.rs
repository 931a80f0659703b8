//! What is done at each path.

pub(crate) mod chat;
pub(crate) mod completions;
mod events;
pub(crate) mod health;
pub(crate) mod models;

use axum::{
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};

/// An answer that is JSON already.
fn json(text: String) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}
