//! `/health` and `/ready`

use crate::Service;
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tricorn_device::TransportError;

/// How long a cloud is given to say what it serves.
const PROBE: Duration = Duration::from_secs(2);

/// The process is up.
pub(crate) async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Requests would be answered: the model is loaded, or there would be no listener, and the cloud
/// serves its middle or is not needed.
pub(crate) async fn ready(State(service): State<Arc<Service>>) -> Response {
    let Some(cloud) = &service.config.cloud else {
        return Json(json!({ "status": "ready", "cloud": "local" })).into_response();
    };
    let (standing, reason) = match cloud.probe.ask(PROBE).await {
        Ok(_) => return Json(json!({ "status": "ready", "cloud": "reachable" })).into_response(),
        Err(error @ TransportError::Unreachable { .. }) => ("unreachable", error),
        Err(error) => ("unsuitable", error),
    };
    if cloud.offline_fallback && standing == "unreachable" {
        let body = json!({
            "status": "ready", "cloud": standing, "offline": true, "reason": reason.to_string()
        });
        return Json(body).into_response();
    }
    let body =
        Json(json!({ "status": "unavailable", "cloud": standing, "reason": reason.to_string() }));
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], body).into_response()
}
