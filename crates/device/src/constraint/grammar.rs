//! Grammar, compiled.

use super::matching::Matching;
use llguidance::Matcher;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use tricorn_core::Constraint;

/// A grammar of texts, compiled. Cloning is cheap.
#[derive(Clone)]
pub struct Grammar {
    /// At the beginning of a text.
    start: Arc<Mutex<Matcher>>,
    end: u32,
    stop_tokens: Arc<[u32]>,
}

impl Grammar {
    pub(super) fn new(start: Matcher, end: u32, stop_tokens: Arc<[u32]>) -> Self {
        Self { start: Arc::new(Mutex::new(start)), end, stop_tokens }
    }

    /// Holds one turn's text to the grammar.
    #[must_use]
    pub fn constraint(&self) -> Box<dyn Constraint> {
        let start = self.start.lock().unwrap_or_else(PoisonError::into_inner).deep_clone();
        Box::new(Matching::new(start, self.end, Arc::clone(&self.stop_tokens)))
    }
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammar").finish_non_exhaustive()
    }
}
