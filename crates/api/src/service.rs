//! Service: an engine and all that requests to it share.

use crate::{ServiceConfig, fit::Fit, identity, metrics::Metrics, preparing::Preparing};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tricorn_device::{
    Engine,
    constraint::{ConstraintError, Grammars},
};

/// An engine, and what is said about it.
#[derive(Debug)]
pub struct Service {
    pub(crate) engine: Engine,
    pub(crate) config: ServiceConfig,
    /// The model's fingerprint, as `system_fingerprint`.
    pub(crate) fingerprint: String,
    /// Seconds since 1970 when the service was made, as the model's `created`.
    pub(crate) started: u64,
    pub(crate) metrics: Metrics,
    /// Room for bodies that are not small.
    pub(crate) large_bodies: Arc<Semaphore>,
    pub(crate) preparing: Preparing,
    pub(crate) fit: Fit,
    grammars: Result<Grammars, ConstraintError>,
}

impl Service {
    /// Answers with `engine`.
    #[must_use]
    pub fn new(engine: Engine, config: ServiceConfig) -> Self {
        let grammars = Grammars::new(engine.prompter(), &engine.parts().stop_tokens);
        Self {
            fingerprint: format!("fp_{}", engine.parts().fingerprint),
            started: identity::now(),
            metrics: Metrics::new(),
            large_bodies: Arc::new(Semaphore::new(config.limits.large_bodies)),
            preparing: Preparing::new(&config.limits),
            fit: Fit::new(&engine),
            grammars,
            engine,
            config,
        }
    }

    /// What makes grammars for the model.
    pub(crate) fn grammars(&self) -> Result<&Grammars, ConstraintError> {
        self.grammars.as_ref().map_err(Clone::clone)
    }
}
