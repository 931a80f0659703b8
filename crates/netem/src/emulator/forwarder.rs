//! The forwarder: one direction of a running link, with a thread that hands over what has arrived.
//!
//! tokio's timers have a granularity of a millisecond, a third of a short link's delay; a thread
//! that waits on a condition variable wakes within a tenth of that.

use super::{
    coalesce::Coalescer,
    connection::{Connection, Direction},
    outbox::Payload,
};
use crate::link::{DirectionConfig, SimplexLink};
use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// An estimate of when there is room is true to a packet; who wakes too early waits this much
/// longer.
const RETRY: Duration = Duration::from_micros(500);
/// A thread that waits for nothing in particular looks again after this.
const IDLE: Duration = Duration::from_secs(1);

/// Both directions.
#[derive(Debug)]
pub(super) struct Forwarders {
    pub(super) up: Forwarder,
    pub(super) down: Forwarder,
}

/// Something of one connection, on its way.
#[derive(Debug)]
struct Packet {
    connection: Arc<Connection>,
    payload: Payload,
}

/// One direction of a running link.
#[derive(Debug)]
pub(super) struct Forwarder {
    direction: Direction,
    start: Instant,
    transit: Mutex<Transit>,
    /// The forwarder's thread must look again.
    changed: Condvar,
    /// Readers may look again whether they may read.
    room: Notify,
    delivered: AtomicU64,
}

/// Packets under way, behind the forwarder's lock.
#[derive(Debug)]
struct Transit {
    link: SimplexLink<Packet>,
    /// A reader waits for room.
    held_back: bool,
    stopped: bool,
}

impl Forwarder {
    /// `seed` is the link's.
    pub(super) fn new(direction: Direction, config: DirectionConfig, seed: u64) -> Self {
        // Both directions draw from one seed, and must not draw the same.
        let seed = seed.wrapping_mul(2).wrapping_add(u64::from(direction == Direction::Down));
        let link = SimplexLink::new(config, seed, Duration::ZERO);
        Self {
            direction,
            start: Instant::now(),
            transit: Mutex::new(Transit { link, held_back: false, stopped: false }),
            changed: Condvar::new(),
            room: Notify::new(),
            delivered: AtomicU64::new(0),
        }
    }

    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    pub(super) fn config(&self) -> DirectionConfig {
        *self.lock().link.config()
    }

    /// Bytes that were handed over to their receivers.
    pub(super) fn delivered_bytes(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Bytes that have entered and not arrived.
    pub(super) fn held_bytes(&self) -> usize {
        self.lock().link.held_bytes()
    }

    pub(super) fn set_config(&self, config: DirectionConfig) {
        self.change(|transit, now| transit.link.set_config(now, config));
    }

    pub(super) fn set_outage(&self, on: bool) {
        self.change(|transit, now| transit.link.set_outage(now, on));
    }

    pub(super) fn discard(&self, connection: &Connection) {
        self.change(|transit, now| {
            transit.link.discard(now, |packet| std::ptr::eq(&*packet.connection, connection))
        });
    }

    pub(super) fn stop(&self) {
        self.change(|transit, _| transit.stopped = true);
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
        let lag = connection.unread_bytes(self.direction);
        let mut transit = self.lock();
        if !transit.link.has_room() {
            transit.held_back = true;
            // The thread may not know yet that somebody waits for more than arrivals.
            self.changed.notify_one();
            return false;
        }
        lag < transit.link.config().queue_limit()
    }

    /// Sends a run of bytes, cut into packets.
    pub(super) fn send(&self, connection: &Arc<Connection>, data: &[u8]) {
        let mut data = bytes::Bytes::copy_from_slice(data);
        let mut transit = self.lock();
        let now = self.now();
        let most = transit.link.config().packet_bytes();
        let mut wake = false;
        while !data.is_empty() {
            let data = data.split_to(most.min(data.len()));
            wake |= transit.link.offer(
                now,
                data.len(),
                Packet { connection: connection.clone(), payload: Payload::Data(data) },
            );
        }
        drop(transit);
        if wake {
            self.changed.notify_one();
        }
    }

    /// Sends that no more follows.
    pub(super) fn send_end(&self, connection: &Arc<Connection>) {
        self.change(|transit, now| {
            transit.link.offer(
                now,
                0,
                Packet { connection: connection.clone(), payload: Payload::End },
            );
        });
    }

    /// The thread: hands over until stopped.
    pub(super) fn deliver(&self) {
        let mut arrived = Vec::new();
        let mut coalescer = Coalescer::default();
        while self.wait_for_arrivals(coalescer.not_before(), &mut arrived) {
            coalescer.hand_over(self.now());
            self.hand_over(&mut arrived);
        }
    }

    /// Waits until something has arrived, and wakes readers when there is room again; false when
    /// stopped.
    fn wait_for_arrivals(&self, not_before: Duration, arrived: &mut Vec<Packet>) -> bool {
        let mut transit = self.lock();
        loop {
            if transit.stopped {
                return false;
            }
            let now = self.now();
            let not_before = not_before.min(transit.link.last_arrival());
            if now >= not_before {
                while let Some((_, packet)) = transit.link.pop_arrival(now) {
                    arrived.push(packet);
                }
                if transit.held_back && transit.link.has_ample_room() {
                    transit.held_back = false;
                    self.room.notify_waiters();
                }
                if !arrived.is_empty() {
                    return true;
                }
            }
            let room = if transit.held_back {
                transit.link.ample_room_at().map(|room| room.max(now + RETRY))
            } else {
                None
            };
            let next = transit.link.next_arrival().into_iter().chain(room).min();
            let timeout =
                next.map_or(IDLE, |next| next.max(not_before).saturating_sub(now).min(IDLE));
            transit = self
                .changed
                .wait_timeout(transit, timeout)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn hand_over(&self, arrived: &mut Vec<Packet>) {
        let mut packets = arrived.drain(..).peekable();
        while let Some(Packet { connection, payload }) = packets.next() {
            if let Payload::Data(data) = &payload {
                self.delivered.fetch_add(data.len() as u64, Ordering::Relaxed);
            }
            connection.receive(self.direction, payload);
            // One write for a run of packets.
            if packets.peek().is_none_or(|next| !Arc::ptr_eq(&next.connection, &connection)) {
                connection.flush(self.direction);
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Transit, Duration)) {
        let mut transit = self.lock();
        let now = self.now();
        change(&mut transit, now);
        drop(transit);
        self.changed.notify_one();
        self.room.notify_waiters();
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Transit> {
        self.transit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
