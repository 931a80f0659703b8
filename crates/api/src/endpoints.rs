//! Endpoints: one handler a path.

pub(crate) mod chat;
pub(crate) mod completions;
mod events;
pub(crate) mod health;
pub(crate) mod models;

use crate::{
    ApiError, Service,
    preparing::Clock,
    request::{self, RequestBody},
};
use axum::{
    extract::Request,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use std::sync::Arc;

/// Reads a request's body, has `prepare` make of it what is generated, and counts its time from
/// when the body was there.
async fn prepared<T: Send + 'static>(
    service: &Arc<Service>,
    request: Request,
    prepare: fn(&Service, &RequestBody) -> Result<T, ApiError>,
) -> Result<(T, Clock), ApiError> {
    let body = request::read(service, request).await?;
    let (bytes, clock) = (body.len(), Clock::start(service.config.limits.request_deadline));
    let work = {
        let service = Arc::clone(service);
        move || prepare(&service, &body)
    };
    Ok((service.preparing.run(bytes, clock, work).await?, clock))
}

/// An answer that is JSON already.
fn json(text: String) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}
