//! A thread per direction that hands over what has arrived, to the fraction of a millisecond.
//!
//! tokio's timers have a granularity of a millisecond, a third of a short link's delay; a thread
//! that waits on a condition variable wakes within a tenth of that.

use super::{connection::Connection, line::Line, outbox::Cargo, pace::Pace, shape::Direction};
use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// An estimate of when there is room is true to a piece; who wakes too early waits this much
/// longer.
const RETRY: Duration = Duration::from_micros(500);
/// A thread that waits for nothing in particular looks again after this.
const IDLE: Duration = Duration::from_secs(1);

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Up,
    Down,
}

/// Something of one connection, on its way.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) connection: Arc<Connection>,
    pub(super) cargo: Cargo,
}

/// One direction of a running link.
#[derive(Debug)]
pub(super) struct Way {
    side: Side,
    start: Instant,
    state: Mutex<State>,
    /// The courier must look again.
    changed: Condvar,
    /// Readers may look again whether they may read.
    room: Notify,
    delivered: AtomicU64,
}

#[derive(Debug)]
struct State {
    line: Line<Parcel>,
    /// A reader waits for room.
    held_back: bool,
    stopped: bool,
}

impl Way {
    pub(super) fn new(side: Side, direction: Direction, seed: u64) -> Self {
        // Both directions draw from one seed, and must not draw the same.
        let seed = seed.wrapping_mul(2).wrapping_add(u64::from(side == Side::Down));
        let state = State {
            line: Line::new(direction, seed, Duration::ZERO),
            held_back: false,
            stopped: false,
        };
        Self {
            side,
            start: Instant::now(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            room: Notify::new(),
            delivered: AtomicU64::new(0),
        }
    }

    pub(super) fn side(&self) -> Side {
        self.side
    }

    pub(super) fn direction(&self) -> Direction {
        *self.lock().line.direction()
    }

    /// Bytes that were handed over to their receivers.
    pub(super) fn delivered_bytes(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Bytes that have entered and not arrived.
    pub(super) fn held_bytes(&self) -> usize {
        self.lock().line.held_bytes()
    }

    pub(super) fn reshape(&self, direction: Direction) {
        self.change(|state, now| state.line.reshape(now, direction));
    }

    pub(super) fn set_outage(&self, on: bool) {
        self.change(|state, now| state.line.set_outage(now, on));
    }

    pub(super) fn discard(&self, connection: &Connection) {
        self.change(|state, now| {
            state.line.discard(now, |parcel| std::ptr::eq(&*parcel.connection, connection))
        });
    }

    pub(super) fn stop(&self) {
        self.change(|state, _| state.stopped = true);
    }

    /// A receiver has taken what held its sender back.
    pub(super) fn wake_readers(&self) {
        self.room.notify_waiters();
    }

    /// Returns when the queue has room and the receiver lags by less than a queue.
    pub(super) async fn admission(&self, connection: &Connection) {
        loop {
            let room = self.room.notified();
            let mut room = std::pin::pin!(room);
            // Before looking: what changes in between must not be missed.
            room.as_mut().enable();
            if self.admits(connection) {
                return;
            }
            room.await;
        }
    }

    fn admits(&self, connection: &Connection) -> bool {
        let lag = connection.unread_bytes(self.side);
        let mut state = self.lock();
        if !state.line.has_room() {
            state.held_back = true;
            // The courier may not know yet that somebody waits for more than arrivals.
            self.changed.notify_one();
            return false;
        }
        lag < state.line.direction().queue_limit()
    }

    /// Sends a run of bytes, cut into pieces.
    pub(super) fn send(&self, connection: &Arc<Connection>, data: &[u8]) {
        let mut data = bytes::Bytes::copy_from_slice(data);
        let mut state = self.lock();
        let now = self.now();
        let piece = state.line.direction().piece_bytes();
        let mut wake = false;
        while !data.is_empty() {
            let data = data.split_to(piece.min(data.len()));
            wake |= state.line.offer(
                now,
                data.len(),
                Parcel { connection: connection.clone(), cargo: Cargo::Data(data) },
            );
        }
        drop(state);
        if wake {
            self.changed.notify_one();
        }
    }

    /// Sends that no more follows.
    pub(super) fn send_end(&self, connection: &Arc<Connection>) {
        self.change(|state, now| {
            state.line.offer(now, 0, Parcel { connection: connection.clone(), cargo: Cargo::End });
        });
    }

    /// The thread: hands over until stopped.
    pub(super) fn deliver(&self) {
        let mut arrived = Vec::new();
        let mut pace = Pace::default();
        while self.wait_for_arrivals(pace.not_before(), &mut arrived) {
            pace.hand_over(self.now());
            self.hand_over(&mut arrived);
        }
    }

    /// Waits until something has arrived, and wakes readers when there is room again; false when
    /// stopped.
    fn wait_for_arrivals(&self, not_before: Duration, arrived: &mut Vec<Parcel>) -> bool {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return false;
            }
            let now = self.now();
            let not_before = not_before.min(state.line.last_arrival());
            if now >= not_before {
                state.line.take_arrived(now, arrived);
                if state.held_back && state.line.has_ample_room() {
                    state.held_back = false;
                    self.room.notify_waiters();
                }
                if !arrived.is_empty() {
                    return true;
                }
            }
            let room = if state.held_back {
                state.line.ample_room_at().map(|room| room.max(now + RETRY))
            } else {
                None
            };
            let next = state.line.next_arrival().into_iter().chain(room).min();
            let timeout =
                next.map_or(IDLE, |next| next.max(not_before).saturating_sub(now).min(IDLE));
            state =
                self.changed.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn hand_over(&self, arrived: &mut Vec<Parcel>) {
        let mut parcels = arrived.drain(..).peekable();
        while let Some(Parcel { connection, cargo }) = parcels.next() {
            if let Cargo::Data(data) = &cargo {
                self.delivered.fetch_add(data.len() as u64, Ordering::Relaxed);
            }
            connection.receive(self.side, cargo);
            // One write for a run of pieces.
            if parcels.peek().is_none_or(|next| !Arc::ptr_eq(&next.connection, &connection)) {
                connection.flush(self.side);
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut State, Duration)) {
        let mut state = self.lock();
        let now = self.now();
        change(&mut state, now);
        drop(state);
        self.changed.notify_one();
        self.room.notify_waiters();
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
