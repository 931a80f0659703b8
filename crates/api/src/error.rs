//! Failures in the form that OpenAI's clients know.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;
use tricorn_device::{DeviceError, engine::Refused};

/// Why a request is refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request is not what this endpoint takes.
    #[error("{message}")]
    Invalid {
        /// What is wrong and how to mend it.
        message: String,
        /// The field at fault.
        param: Option<&'static str>,
    },
    /// Too many requests wait, or the device shuts down.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The generation failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The engine ended.
    #[error("the device is shutting down")]
    Closed,
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { .. } | Self::Device(DeviceError::EmptyPrompt | DeviceError::NoTemplate | DeviceError::Turn(_)) => {
                StatusCode::BAD_REQUEST
            }
            Self::Refused(_) | Self::Closed | Self::Device(DeviceError::Link(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Device(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let kind = if status.is_client_error() { "invalid_request_error" } else { "server_error" };
        let param = match &self {
            Self::Invalid { param, .. } => *param,
            _ => None,
        };
        (status, Json(json!({ "error": { "message": self.to_string(), "type": kind, "param": param, "code": null } }))).into_response()
    }
}
