//! The endpoint's paths.

use crate::{ApiError, chat};
use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpListener;
use tricorn_core::DraftPolicy;
use tricorn_device::Engine;

/// What requests are answered with.
#[derive(Debug)]
pub struct Service {
    /// Generates.
    pub engine: Engine,
    /// The model's name in requests and answers.
    pub model: String,
    /// How texts are drafted.
    pub draft: DraftPolicy,
}

/// Answers requests on `listener` until `stop` is done.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, service: Service, stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
    axum::serve(listener, router(Arc::new(service))).with_graceful_shutdown(stop).await
}

fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/health", get(async || Json(json!({ "status": "ok" }))))
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(complete))
        .with_state(service)
}

async fn models(State(service): State<Arc<Service>>) -> Json<Value> {
    Json(json!({ "object": "list", "data": [{ "id": service.model, "object": "model", "created": 0, "owned_by": "tricorn" }] }))
}

async fn complete(State(service): State<Arc<Service>>, Json(request): Json<chat::ChatRequest>) -> Result<Json<Value>, ApiError> {
    chat::complete(&service, request).await.map(Json)
}
