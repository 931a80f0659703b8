//! Metrics: counters in Prometheus' text form.

mod engine;

use engine::EngineFigures;
use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{fmt, time::Duration};
use tricorn_device::engine::Figures;

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

    /// Counts a request that begins.
    pub(crate) fn begin(&self) {
        self.running.inc();
    }

    /// Counts a request that has ended, with the time that it took.
    pub(crate) fn end(&self, route: String, status: u16, time: Duration) {
        self.running.dec();
        self.seconds.get_or_create(&Route { route: route.clone() }).observe(time.as_secs_f64());
        self.requests.get_or_create(&Answered { route, status }).inc();
    }

    /// All counters as text, those of the engine among them.
    ///
    /// # Errors
    /// When they cannot be written as text.
    pub(crate) fn text(&self, figures: Figures) -> Result<String, fmt::Error> {
        let mut engine = Registry::with_prefix("tricorn");
        engine.register_collector(Box::new(EngineFigures(figures)));
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &engine)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}
