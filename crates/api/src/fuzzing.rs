//! Fuzzing: the way of a request's body up to the engine, with the demo model.

use crate::{
    ApiError,
    endpoints::{ChatEndpoint, CompletionEndpoint, Generates},
    request::RequestBody,
    testing,
};

/// A request that was refused.
#[derive(Debug)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// The error's JSON.
    pub body: String,
}

/// Prepares a chat of this body.
///
/// # Errors
/// As the endpoint answers.
pub fn chat(body: &[u8]) -> Result<(), Refused> {
    prepare::<ChatEndpoint>(body)
}

/// Prepares a completion of this body.
///
/// # Errors
/// As the endpoint answers.
pub fn completion(body: &[u8]) -> Result<(), Refused> {
    prepare::<CompletionEndpoint>(body)
}

fn prepare<E: Generates>(body: &[u8]) -> Result<(), Refused> {
    let refused = |error: ApiError| Refused {
        status: error.status().as_u16(),
        body: serde_json::to_string(&error.body()).unwrap_or_default(),
    };
    E::prepare(&testing::service(), &RequestBody::of(body)).map(drop).map_err(refused)
}
