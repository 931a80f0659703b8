//! Roster: requests that wait, and the slots that take them.

use super::{
    held::Held,
    job::{Job, LastWord, Outcome},
};
use crate::{
    cancel::{Cancel, CancelReason},
    engine::{
        group::{self, Group},
        output::update::{Refused, Update},
    },
};
use std::{
    cmp::Reverse,
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Requests that wait and slots that take them.
#[derive(Debug)]
pub(in crate::engine) struct Roster {
    places: Mutex<Places>,
    /// A slot was given a request, or the engine closes.
    given: Condvar,
    /// Nothing runs or waits any more.
    drained: Notify,
    queue: usize,
    idle: Duration,
}

#[derive(Debug)]
struct Places {
    waiting: VecDeque<Job>,
    slots: Vec<Place>,
    /// Counts the requests given out, to tell which slot was used last.
    given: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Requests that were accepted are still done.
    Draining,
    Closed,
}

#[derive(Debug)]
struct Place {
    /// The handle of the request that it has, and what that belongs to; `None` while it is idle.
    running: Option<(Cancel, Group)>,
    inbox: Option<Job>,
    /// The tokens in its caches, while it is idle.
    held: Held,
    /// It is to give that up.
    forget: bool,
    last_given: u64,
    idle_since: Instant,
}

/// The next thing that a slot does.
#[derive(Debug)]
pub(in crate::engine) enum Next {
    /// A request, with what the slot holds.
    Job(Box<Job>, Held),
    /// Nobody has gone on with its conversation for too long: give up what it holds.
    Forget,
    /// End.
    Close,
}

impl Roster {
    pub(in crate::engine) fn new(slots: usize, queue: usize, idle: Duration) -> Self {
        let slot = || Place {
            running: None,
            inbox: None,
            held: Held::default(),
            forget: false,
            last_given: 0,
            idle_since: Instant::now(),
        };
        let slots = std::iter::repeat_with(slot).take(slots).collect();
        let places =
            Mutex::new(Places { waiting: VecDeque::new(), slots, given: 0, phase: Phase::Open });
        Self { places, given: Condvar::new(), drained: Notify::new(), queue, idle }
    }

    pub(in crate::engine) fn submit(&self, job: Job) -> Result<(), (Refused, Box<Job>)> {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err((Refused::Closing, Box::new(job)));
        }
        self.sweep_waiting(&mut state);
        if state.waiting.len() >= self.queue
            && state.slots.iter().all(|slot| slot.running.is_some())
        {
            return Err((Refused::Busy { waiting: state.waiting.len() }, Box::new(job)));
        }
        state.waiting.push_back(job);
        self.give(&mut state);
        if let Some(job) = state.waiting.back() {
            // The first update of its buffer: there is room.
            let _ = job.updates.try_send(Update::Queued);
        }
        Ok(())
    }

    /// The next thing for slot `index` to do.
    pub(in crate::engine) fn next(&self, index: usize) -> Next {
        let mut state = self.lock();
        loop {
            let closed = state.phase == Phase::Closed;
            let Some(slot) = state.slots.get_mut(index) else { return Next::Close };
            if let Some(job) = slot.inbox.take() {
                slot.forget = false;
                return Next::Job(Box::new(job), std::mem::take(&mut slot.held));
            }
            if closed {
                return Next::Close;
            }
            let idle = if std::mem::take(&mut slot.forget) { Duration::ZERO } else { self.idle };
            let wait =
                (!slot.held.is_empty()).then(|| idle.saturating_sub(slot.idle_since.elapsed()));
            state = match wait {
                Some(Duration::ZERO) => {
                    slot.held = Held::default();
                    return Next::Forget;
                }
                Some(wait) => {
                    self.given.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.given.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Slot `index` is idle, and holds this; `last_word` is sent at the same moment. So what the
    /// client asks next finds its conversation, and whoever waits until nothing runs finds every
    /// client told.
    pub(in crate::engine) fn done(&self, index: usize, held: Held, last_word: Option<LastWord>) {
        let mut state = self.lock();
        if let Some(slot) = state.slots.get_mut(index) {
            (slot.running, slot.held, slot.idle_since) = (None, held, Instant::now());
        }
        if let Some(last_word) = last_word {
            last_word.send();
        }
        self.give(&mut state);
        self.look_drained(&state);
    }

    /// Whether idle slots hold conversations.
    pub(in crate::engine) fn holds_idle(&self) -> bool {
        self.lock().slots.iter().any(Place::holds_idle)
    }

    /// Has idle slots give up what they hold.
    pub(in crate::engine) fn forget_idle(&self) {
        self.lock()
            .slots
            .iter_mut()
            .filter(|slot| slot.holds_idle())
            .for_each(|slot| slot.forget = true);
        self.given.notify_all();
    }

    /// Ends the waiting requests that are cancelled.
    pub(in crate::engine) fn sweep(&self) {
        let mut state = self.lock();
        self.sweep_waiting(&mut state);
        self.look_drained(&state);
    }

    /// Requests that run, requests that wait, and slots that hold a conversation or are about to.
    pub(in crate::engine) fn counts(&self) -> (usize, usize, usize) {
        let state = self.lock();
        let running = state.slots.iter().filter(|slot| slot.running.is_some()).count();
        let holding = state
            .slots
            .iter()
            .filter(|slot| slot.running.is_some() || !slot.held.is_empty())
            .count();
        (running, state.waiting.len(), holding)
    }

    /// Takes no more requests; what was accepted is still done.
    pub(in crate::engine) fn drain(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Draining;
        }
    }

    /// Waits until nothing runs or waits.
    pub(in crate::engine) async fn drained(&self) {
        loop {
            let notified = self.drained.notified();
            if self.lock().is_drained() {
                return;
            }
            notified.await;
        }
    }

    /// Ends every request, and every slot once it is idle.
    pub(in crate::engine) fn close(&self) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        state
            .waiting
            .drain(..)
            .for_each(|job| job.ending.end(Outcome::Interrupted(CancelReason::Shutdown)).send());
        state
            .slots
            .iter()
            .filter_map(|slot| slot.running.as_ref())
            .for_each(|(running, _)| running.cancel(CancelReason::Shutdown));
        self.given.notify_all();
        self.look_drained(&state);
    }

    /// Gives waiting requests to idle slots, those of the groups with the fewest running first.
    fn give(&self, state: &mut Places) {
        while let Some(place) = state.next_waiting() {
            let Some(index) = state.waiting.get(place).and_then(|job| state.choose(job)) else {
                return;
            };
            let (Some(slot), Some(job)) = (state.slots.get_mut(index), state.waiting.remove(place))
            else {
                return;
            };
            state.given += 1;
            slot.last_given = state.given;
            slot.running = Some((job.cancel.clone(), job.group));
            slot.inbox = Some(job);
            self.given.notify_all();
        }
    }

    fn sweep_waiting(&self, state: &mut Places) {
        for job in std::mem::take(&mut state.waiting) {
            match job.cancel.reason() {
                Some(reason) => job.ending.end(Outcome::Interrupted(reason)).send(),
                None => state.waiting.push_back(job),
            }
        }
    }

    fn look_drained(&self, state: &Places) {
        if state.is_drained() {
            self.drained.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // No invariant spans an unlock: a panic elsewhere leaves the lists as they were.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn holds_idle(&self) -> bool {
        self.running.is_none() && !self.held.is_empty()
    }
}

impl Places {
    fn is_drained(&self) -> bool {
        self.waiting.is_empty() && self.slots.iter().all(|slot| slot.running.is_none())
    }

    /// The place of the request that is next.
    fn next_waiting(&self) -> Option<usize> {
        let running = self.slots.iter().filter_map(|slot| slot.running.as_ref());
        group::next(self.waiting.iter().map(|job| job.group), running.map(|(_, group)| *group))
    }

    /// The idle slot for a request: the one whose conversation it goes on with; else an empty one;
    /// else the one where it saves more than is lost; else the one unused for longest.
    fn choose(&self, job: &Job) -> Option<usize> {
        let idle = self.slots.iter().enumerate().filter(|(_, slot)| slot.running.is_none());
        let rank = |slot: &Place| {
            let fit = slot.held.fit(&job.request.prompt);
            let tier = if fit.goes_on {
                3
            } else if slot.held.is_empty() {
                2
            } else {
                u8::from(fit.shared > fit.lost)
            };
            (tier, if tier == 0 { 0 } else { fit.shared }, Reverse(slot.last_given))
        };
        idle.max_by_key(|(_, slot)| rank(slot)).map(|(index, _)| index)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
