//! `/metrics`: counters in Prometheus' text form.

mod engine;

use crate::Service;
use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse, Response},
};
use engine::EngineFigures;
use http_body_util::BodyExt;
use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{sync::Arc, time::Instant};

/// The type of OpenMetrics' text, which Prometheus asks for first.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upper bounds for a request's time, in seconds.
const SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];

/// What is counted of HTTP; the engine counts for itself.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
    running: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("tricorn_http");
        let (requests, running) = (Family::default(), Gauge::default());
        let seconds =
            Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        registry.register("requests", "Requests answered, by route and status", requests.clone());
        registry.register(
            "request_seconds",
            "Time from a request's head to the end of its answer",
            seconds.clone(),
        );
        registry.register("running", "Requests under way", running.clone());
        Self { registry, requests, seconds, running }
    }
}

/// Counts a request; its time ends with its answer's last byte, or when the client is gone.
pub(crate) async fn count(
    State(service): State<Arc<Service>>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let route = path.map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    service.metrics.running.inc();
    let mut running =
        Running { service: Arc::clone(&service), route, status: None, started: Instant::now() };
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
    route: String,
    /// None where the client went away before there was an answer.
    status: Option<StatusCode>,
    started: Instant,
}

impl Drop for Running {
    fn drop(&mut self) {
        let metrics = &self.service.metrics;
        let route = std::mem::take(&mut self.route);
        metrics.running.dec();
        metrics
            .seconds
            .get_or_create(&Route { route: route.clone() })
            .observe(self.started.elapsed().as_secs_f64());
        // nginx' status for a client that has gone.
        let status = self.status.map_or(499, |status| status.as_u16());
        metrics.requests.get_or_create(&Answered { route, status }).inc();
    }
}

/// All counters.
pub(crate) async fn text(State(service): State<Arc<Service>>) -> Response {
    let mut engine = Registry::with_prefix("tricorn");
    engine.register_collector(Box::new(EngineFigures(service.engine.figures())));
    let mut text = String::new();
    let written = encode_registry(&mut text, &service.metrics.registry)
        .and_then(|()| encode_registry(&mut text, &engine))
        .and_then(|()| encode_eof(&mut text));
    match written {
        Ok(()) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
