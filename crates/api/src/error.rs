//! Errors in the form that OpenAI's clients know.

use crate::clock::Clock;
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::time::Duration;
use tricorn_core::TurnError;
use tricorn_device::{DeviceError, TransportError, constraint::ConstraintError, engine::Refused};
use tricorn_text::TextError;

/// After which time a full queue is worth another try.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// Reason why a request is refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A field of the request is not what this endpoint takes.
    #[error("{message}")]
    Invalid {
        /// What is wrong and how to mend it.
        message: String,
        /// The field at fault, such as `messages[0].role`.
        param: Option<String>,
        /// What kind of fault it is, for programs.
        code: Option<&'static str>,
    },
    /// Another model is asked for.
    #[error("The model `{0}` does not exist or you do not have access to it.")]
    UnknownModel(String),
    /// Nothing is served at this path.
    #[error("Invalid URL ({0})")]
    UnknownPath(String),
    /// The path is served by another method.
    #[error(
        "Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP \
         method?)"
    )]
    Method {
        /// The method used.
        method: String,
        /// The path.
        path: String,
    },
    /// The body is no JSON by its header.
    #[error("Unsupported content type: send the request with 'Content-Type: application/json'.")]
    MediaType,
    /// The body is too long.
    #[error("The request's body is larger than {limit} bytes; shorten it.")]
    TooLarge {
        /// Bytes that it may have.
        limit: usize,
    },
    /// The body did not come in time.
    #[error("The request's body did not arrive within {0:?}; send it faster.")]
    SlowBody(Duration),
    /// Too many large bodies are being read.
    #[error("Too many large requests arrive at once; try again later.")]
    ManyBodies,
    /// Too many requests wait to be prepared.
    #[error("Too many requests arrive at once; try again later.")]
    Crowded,
    /// The prompt does not fit into the context.
    #[error(
        "This model's maximum context length is {context} tokens. However, your prompt has \
         {}{tokens} tokens, and one must be left to generate. Please reduce the length of the \
         {param}.",
        if *counted { "" } else { "at least " }
    )]
    TooLong {
        /// Tokens that it has.
        tokens: usize,
        /// Whether they were counted; else it has at least so many by its length.
        counted: bool,
        /// Tokens that the context holds.
        context: usize,
        /// The field that brought it.
        param: &'static str,
    },
    /// The connection broke while the body was read.
    #[error("The request's body could not be read: {0}")]
    BrokenBody(String),
    /// The endpoint was called by a name that is not its own.
    #[error(
        "Requests for the host '{0}' are not answered; use localhost or an address, or allow the \
         name."
    )]
    Host(String),
    /// The engine takes no more requests.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The generation failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The engine ended without a word.
    #[error("the device is shutting down; try again once it is back")]
    Closed,
}

impl ApiError {
    /// A fault in one field.
    pub(crate) fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), param: Some(param.into()), code: None }
    }

    /// A fault in one field, with the code that OpenAI gives it.
    pub(crate) fn coded(
        code: &'static str,
        param: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self::Invalid { message: message.into(), param: Some(param.into()), code: Some(code) }
    }

    /// A generation's failure, of a prompt that came in field `param`.
    pub(crate) fn generation(error: DeviceError, param: &'static str, clock: &Clock) -> Self {
        match error {
            DeviceError::Turn(TurnError::TooLong { tokens, context }) => {
                Self::TooLong { tokens, counted: true, context, param }
            }
            // The engine knows what was left of the request's time when it was submitted.
            DeviceError::Deadline(_) => Self::Device(clock.over()),
            error => Self::Device(error),
        }
    }

    /// A schema or grammar that cannot be used, by the field that brought it.
    pub(crate) fn grammar(param: impl Into<String>, error: &ConstraintError) -> Self {
        Self::coded("invalid_schema", param, error.to_string())
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { .. } | Self::BrokenBody(_) | Self::TooLong { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::UnknownModel(_) | Self::UnknownPath(_) => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Host(_) => StatusCode::FORBIDDEN,
            Self::ManyBodies | Self::Crowded | Self::Refused(Refused::Busy { .. }) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Refused(Refused::Closing) | Self::Closed => StatusCode::SERVICE_UNAVAILABLE,
            Self::Device(error) => device_status(error),
        }
    }

    /// After which time the same request may well succeed.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::ManyBodies | Self::Crowded | Self::Refused(_) | Self::Closed => Some(BUSY_RETRY),
            Self::Device(error) => error.retry_after(),
            _ => None,
        }
    }

    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Invalid { code, .. } => *code,
            Self::UnknownModel(_) => Some("model_not_found"),
            Self::UnknownPath(_) => Some("unknown_url"),
            Self::Method { .. } => Some("method_not_supported"),
            Self::MediaType => Some("unsupported_content_type"),
            Self::TooLarge { .. } => Some("request_too_large"),
            Self::SlowBody(_) => Some("request_timeout"),
            Self::BrokenBody(_) => Some("invalid_body"),
            Self::Host(_) => Some("host_not_allowed"),
            Self::ManyBodies | Self::Crowded | Self::Refused(Refused::Busy { .. }) => {
                Some("rate_limit_exceeded")
            }
            Self::Refused(Refused::Closing) | Self::Closed | Self::Device(DeviceError::Closing) => {
                Some("shutting_down")
            }
            Self::TooLong { .. } => Some("context_length_exceeded"),
            Self::Device(DeviceError::Transport(TransportError::Refused(_))) => {
                Some("cloud_refused")
            }
            Self::Device(DeviceError::Transport(
                TransportError::NoRoom(_) | TransportError::Evicted(_),
            )) => Some("cloud_full"),
            Self::Device(DeviceError::Transport(_)) => Some("cloud_unreachable"),
            Self::Device(
                DeviceError::NoTemplate | DeviceError::Text(TextError::Template { .. }),
            ) => Some("chat_template_failed"),
            Self::Device(DeviceError::Deadline(_)) => Some("deadline_exceeded"),
            Self::Device(DeviceError::Sampling(_)) => Some("invalid_value"),
            Self::Device(DeviceError::Constraint(_)) => Some("invalid_schema"),
            Self::Device(_) => None,
        }
    }

    /// The error object, as it stands in answers and events.
    pub(crate) fn body(&self) -> ErrorBody {
        let status = self.status();
        let kind = match status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            _ if status.is_client_error() => "invalid_request_error",
            _ => "server_error",
        };
        let (message, param) = match self {
            Self::Invalid { message, param, .. } => (message.clone(), param.clone()),
            Self::UnknownModel(_) => (self.to_string(), Some("model".to_owned())),
            Self::TooLong { param, .. } => (self.to_string(), Some((*param).to_owned())),
            Self::Device(DeviceError::Sampling(error)) => {
                (error.to_string(), Some(error.field().to_owned()))
            }
            _ => (self.to_string(), None),
        };
        ErrorBody { error: ErrorObject { message, kind, param, code: self.code() } }
    }
}

fn device_status(error: &DeviceError) -> StatusCode {
    match error {
        DeviceError::EmptyPrompt
        | DeviceError::NoTemplate
        | DeviceError::Turn(_)
        | DeviceError::Sampling(_)
        | DeviceError::Constraint(_)
        | DeviceError::Text(TextError::Template { .. }) => StatusCode::BAD_REQUEST,
        DeviceError::Transport(_) | DeviceError::Closing => StatusCode::SERVICE_UNAVAILABLE,
        DeviceError::Deadline(_) => StatusCode::GATEWAY_TIMEOUT,
        DeviceError::SlowClient(_) => StatusCode::REQUEST_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// `{"error": {..}}`
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ErrorBody {
    error: ErrorObject,
}

#[derive(Clone, Debug, Serialize)]
struct ErrorObject {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<String>,
    code: Option<&'static str>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(self.body())).into_response();
        if let Some(wait) = self.retry_after() {
            let seconds = wait.as_secs_f64().ceil() as u64;
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}
