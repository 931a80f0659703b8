//! A request's body, within its bounds of time and size.

use super::fields::{FieldTable, Fields};
use crate::{ApiError, Limits, Service};
use axum::{
    body::{Body, HttpBody},
    extract::Request,
    http::{
        HeaderMap,
        header::{CONTENT_TYPE, EXPECT},
    },
};
use bytes::BytesMut;
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

/// Bytes of a body that is too long which are read and thrown away: a client that is still sending
/// would see its connection break before it sees the answer.
const DISCARDED: usize = 32 << 20;

/// A body that is JSON by its header.
#[derive(Debug)]
pub(crate) struct RequestBody {
    bytes: BytesMut,
    /// Its room among the large ones, where it is large.
    _room: Option<OwnedSemaphorePermit>,
}

impl RequestBody {
    /// A body of these bytes, as if it had been read.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), _room: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The fields of its JSON object, all of them known to `table`. Takes up to a tenth of a
    /// second.
    ///
    /// # Errors
    /// When it is no JSON object, or has fields that are unknown or not supported.
    pub(crate) fn fields(&self, table: &FieldTable) -> Result<Fields, ApiError> {
        Fields::parse(&self.bytes, table)
    }
}

/// A request's body.
///
/// # Errors
/// When it is no JSON by its header, too long or too slow.
pub(crate) async fn read(service: &Service, request: Request) -> Result<RequestBody, ApiError> {
    if !is_json(request.headers()) {
        return Err(ApiError::MediaType);
    }
    let deadline = service.config.limits.body_deadline;
    let waits = request.headers().contains_key(EXPECT);
    let mut body = request.into_body();
    let collected = timeout(deadline, collect(service, &mut body))
        .await
        .map_err(|_| ApiError::SlowBody(deadline))?;
    if matches!(collected, Err(ApiError::TooLarge { .. })) && !waits {
        // Within the deadline once more; what is thrown away needs no memory.
        let _ = timeout(deadline, discard(&mut body)).await;
    }
    collected
}

async fn collect(service: &Service, body: &mut Body) -> Result<RequestBody, ApiError> {
    let limit = service.config.limits.body;
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limit {
        return Err(ApiError::TooLarge { limit });
    }
    let mut bytes = BytesMut::with_capacity(declared.min(Limits::SMALL_BODY));
    let mut room = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ApiError::BrokenBody(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        let len = bytes.len() + data.len();
        if len > limit {
            return Err(ApiError::TooLarge { limit });
        }
        if len > Limits::SMALL_BODY && room.is_none() {
            room = Some(
                Arc::clone(&service.large_bodies)
                    .try_acquire_owned()
                    .map_err(|_| ApiError::ManyBodies)?,
            );
        }
        bytes.extend_from_slice(&data);
    }
    Ok(RequestBody { bytes, _room: room })
}

async fn discard(body: &mut Body) {
    let mut left = DISCARDED;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, bytes::Bytes::len));
        if left == 0 {
            return;
        }
    }
}

/// `application/json` or `application/*+json`, with any parameters. That a browser's simple form
/// post is neither is part of the guard.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}
