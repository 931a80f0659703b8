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
use tokio::{net::TcpStream, time::timeout};

/// How long a cloud is given to take a connection.
const PROBE: Duration = Duration::from_secs(2);

/// The process is up.
pub(crate) async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Requests would be answered: the model is loaded, or there would be no listener, and the cloud takes connections or is not needed.
pub(crate) async fn ready(State(service): State<Arc<Service>>) -> Response {
    let Some(cloud) = &service.config.cloud else { return Json(json!({ "status": "ready", "cloud": "local" })).into_response() };
    let reached = matches!(timeout(PROBE, TcpStream::connect(cloud.address.as_str())).await, Ok(Ok(_)));
    match (reached, cloud.offline_fallback) {
        (true, _) => Json(json!({ "status": "ready", "cloud": "reachable" })).into_response(),
        (false, true) => Json(json!({ "status": "ready", "cloud": "unreachable", "offline": true })).into_response(),
        (false, false) => {
            let body = Json(json!({ "status": "unavailable", "cloud": "unreachable" }));
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], body).into_response()
        }
    }
}
