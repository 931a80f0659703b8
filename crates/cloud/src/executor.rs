//! Executor of a stage: the one owner of its model, its KV caches and its way to the next stage.

use std::{collections::BTreeMap, time::Duration};

use tricorn_core::{StageEntry, Took};
use tricorn_wire::Failure;

use crate::{
    clock::Clock,
    compute::{Computed, compute},
    downstream::{Downstream, StageBatch, StageLost},
    failures::stage_failure,
    middle::{BatchEntry, MiddleModel},
    throttle::Throttle,
};

/// Runs what a scheduler of the core decides. A driver owns one beside its scheduler.
pub(crate) struct Executor<M: MiddleModel> {
    model: M,
    /// By the session's number, or by its name in a later stage.
    caches: BTreeMap<u64, M::Kv>,
    /// The way to the next stage, or why it is closed; `None` in the last stage.
    next: Option<Result<Box<dyn Downstream>, StageLost>>,
    clock: Clock,
    throttle: Option<Throttle>,
}

impl<M: MiddleModel> Executor<M> {
    pub(crate) fn new(
        model: M,
        next: Option<Box<dyn Downstream>>,
        clock: Clock,
        throttle: Option<Throttle>,
    ) -> Self {
        Self { model, caches: BTreeMap::new(), next: next.map(Ok), clock, throttle }
    }

    /// Time since the clock's start.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Values in one hidden row.
    pub(crate) fn hidden(&self) -> usize {
        self.model.hidden()
    }

    /// Makes an empty KV cache for a session of at most `context` positions.
    pub(crate) fn open(&mut self, session: u64, context: usize) {
        self.caches.insert(session, self.model.new_kv(context));
    }

    /// Frees a session's KV cache.
    pub(crate) fn close(&mut self, session: u64) {
        self.caches.remove(&session);
    }

    /// Truncates a session's KV cache to `pos` and makes room for `rows` more positions.
    ///
    /// # Errors
    /// Says why there is no memory for them.
    pub(crate) fn prepare(&mut self, session: u64, pos: usize, rows: usize) -> Result<(), String> {
        let cache = self.caches.get_mut(&session).ok_or_else(|| missing(session))?;
        self.model.prepare(cache, pos, rows).map_err(|error| error.to_string())
    }

    /// Runs the rows `x` of `entries`, which have been [prepared](Self::prepare), in place. Without
    /// entries nothing runs.
    pub(crate) fn run(
        &mut self,
        entries: &[StageEntry],
        x: &mut [f32],
        expected: Option<Duration>,
    ) -> Computed<String> {
        if entries.is_empty() {
            return Computed { outcome: Ok(()), took: Took::default() };
        }
        let mut caches = Vec::with_capacity(entries.len());
        for entry in entries {
            match self.caches.remove(&entry.session) {
                Some(cache) => caches.push(cache),
                None => {
                    // The others go on: what was taken out goes back.
                    self.caches.extend(entries.iter().map(|entry| entry.session).zip(caches));
                    let outcome = Err(missing(entry.session));
                    return Computed { outcome, took: Took::default() };
                }
            }
        }
        let mut batch: Vec<BatchEntry<'_, M::Kv>> = entries
            .iter()
            .zip(&mut caches)
            .map(|(entry, kv)| BatchEntry { kv, pos: entry.pos, rows: entry.rows })
            .collect();
        // Nobody knows how slow the first one is.
        let expected = expected.unwrap_or(Duration::MAX);
        let computed = compute(&self.model, &mut batch, x, expected, self.throttle);
        self.caches.extend(entries.iter().map(|entry| entry.session).zip(caches));
        Computed {
            outcome: computed.outcome.map_err(|error| error.to_string()),
            took: computed.took,
        }
    }

    /// Sends a batch to the next stage.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(crate) fn send_on(&mut self, batch: StageBatch) -> Result<(), StageLost> {
        match &mut self.next {
            Some(Ok(next)) => next.start(batch),
            Some(Err(lost)) => Err(lost.clone()),
            None => Err(StageLost("this is the last".to_owned())),
        }
    }

    /// The next stage has another connection, or is lost. No session has gone on.
    pub(crate) fn change_next(&mut self, next: Result<Box<dyn Downstream>, StageLost>) {
        self.caches.clear();
        self.next = Some(next);
    }

    /// The connection to the next stage.
    pub(crate) fn next(&self) -> Option<&dyn Downstream> {
        self.next.as_ref()?.as_ref().ok().map(Box::as_ref)
    }

    /// What whoever needs the next stage is told while it cannot be reached.
    pub(crate) fn next_failure(&self) -> Failure {
        match &self.next {
            Some(Err(lost)) => stage_failure(lost),
            _ => stage_failure(&StageLost("its connection is not open".to_owned())),
        }
    }
}

fn missing(session: u64) -> String {
    format!("the KV cache of session {session} is missing; this is a defect, please report it")
}
