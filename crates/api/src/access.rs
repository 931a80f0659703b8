//! Access log and metrics: every request, counted and told in one line when it has ended.

use crate::Service;
use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use http_body_util::BodyExt;
use std::{sync::Arc, time::Instant};

/// Counts and tells of a request. Its time ends with its answer's last byte, or when the client is
/// gone.
pub(crate) async fn observe(
    State(service): State<Arc<Service>>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let route = path.map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    service.metrics.begin();
    let mut running = Running { service, method, route, status: None, started: Instant::now() };
    let response = next.run(request).await;
    running.status = Some(response.status());
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            // The body owns what counts it.
            let _ = &running;
            frame
        }))
    })
}

/// A request under way; counted when dropped.
struct Running {
    service: Arc<Service>,
    method: Method,
    /// The path as the router knows it: one that a client made up could hold anything.
    route: String,
    /// None where the client went away before there was an answer.
    status: Option<StatusCode>,
    started: Instant,
}

impl Drop for Running {
    fn drop(&mut self) {
        let time = self.started.elapsed();
        // nginx' status for a client that has gone.
        let status = self.status.map_or(499, |status| status.as_u16());
        tracing::info!(
            method = self.method.as_str(),
            path = self.route,
            status,
            ms = time.as_secs_f64() * 1e3,
            "request"
        );
        self.service.metrics.end(std::mem::take(&mut self.route), status, time);
    }
}
