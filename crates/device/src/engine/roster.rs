//! Which slot takes which request.

use super::generation::{Busy, Job};
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// Requests that wait and slots that take them.
#[derive(Debug)]
pub(super) struct Roster {
    state: Mutex<State>,
    /// A slot was given a request, or the engine closes.
    given: Condvar,
    queue: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Job>,
    slots: Vec<Slot>,
    /// Counts the requests given out, to tell which slot was used last.
    given: u64,
    closed: bool,
}

#[derive(Debug, Default)]
struct Slot {
    busy: bool,
    inbox: Option<Job>,
    /// What the slot's caches hold.
    tokens: Vec<u32>,
    last_given: u64,
}

impl Roster {
    pub(super) fn new(slots: usize, queue: usize) -> Self {
        let slots = std::iter::repeat_with(Slot::default).take(slots).collect();
        Self { state: Mutex::new(State { slots, ..State::default() }), given: Condvar::new(), queue }
    }

    pub(super) fn submit(&self, job: Job) -> Result<(), Busy> {
        let mut state = self.lock();
        state.waiting.retain(|job| !job.updates.is_closed());
        if state.waiting.len() >= self.queue && state.slots.iter().all(|slot| slot.busy) {
            return Err(Busy { waiting: state.waiting.len() });
        }
        state.waiting.push_back(job);
        self.give(&mut state);
        Ok(())
    }

    /// What slot `index` is to do next; `None` when the engine closes.
    pub(super) fn next(&self, index: usize) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.slots.get_mut(index).and_then(|slot| slot.inbox.take()) {
                return Some(job);
            }
            state = self.given.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Slot `index` is idle; its caches hold `tokens`.
    pub(super) fn done(&self, index: usize, tokens: Vec<u32>) {
        let mut state = self.lock();
        if let Some(slot) = state.slots.get_mut(index) {
            (slot.busy, slot.tokens) = (false, tokens);
        }
        self.give(&mut state);
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        self.given.notify_all();
    }

    /// Gives waiting requests to idle slots: each to the one that holds most of its prompt, of several to the one unused for longest.
    fn give(&self, state: &mut State) {
        while let Some(job) = state.waiting.front() {
            let shared = |slot: &Slot| slot.tokens.iter().zip(&job.request.prompt).take_while(|(held, new)| held == new).count();
            let idle = state.slots.iter_mut().filter(|slot| !slot.busy);
            let Some(slot) = idle.max_by_key(|slot| (shared(slot), std::cmp::Reverse(slot.last_given))) else { return };
            state.given += 1;
            (slot.busy, slot.last_given, slot.inbox) = (true, state.given, state.waiting.pop_front());
            self.given.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No invariant spans an unlock: a panic elsewhere leaves the lists as they were.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
