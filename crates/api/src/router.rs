//! Router: the endpoint's paths.

use crate::{ApiError, Service, access, endpoints, guard, openapi, page};
use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, Method, header},
    middleware,
    response::IntoResponse,
    routing::{get, post},
};
use std::{sync::Arc, time::Duration};
use tower_http::cors::CorsLayer;

/// Everything that is served. `loopback`: the listener is reached from this machine alone, and only
/// by its own names.
pub(crate) fn router(service: &Arc<Service>, loopback: bool) -> Router {
    let mut router = Router::new()
        .route("/v1/chat/completions", post(endpoints::chat::create))
        .route("/v1/completions", post(endpoints::completions::create))
        .route("/v1/models", get(endpoints::models::list))
        .route("/v1/models/{id}", get(endpoints::models::retrieve))
        .route("/health", get(endpoints::health::alive))
        .route("/ready", get(endpoints::health::ready))
        .route("/metrics", get(endpoints::metrics::text))
        .route("/openapi.json", get(openapi::document))
        .merge(page::routes())
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(service), access::observe));
    if let Some(cors) = cors(&service.config.allowed_origins) {
        router = router.layer(cors);
    }
    if loopback {
        router =
            router.layer(middleware::from_fn_with_state(Arc::clone(service), guard::check_host));
    }
    router.with_state(Arc::clone(service))
}

/// Lets the pages of these origins read answers.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> =
        origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION])
            .max_age(Duration::from_secs(600))
    })
}

async fn unknown_path(request: Request) -> impl IntoResponse {
    ApiError::UnknownPath(format!("{} {}", request.method(), request.uri().path()))
}

async fn wrong_method(request: Request) -> impl IntoResponse {
    ApiError::Method { method: request.method().to_string(), path: request.uri().path().to_owned() }
}
