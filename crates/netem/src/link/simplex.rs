//! The simplex link: one direction of a link, as packets in and arrivals out.

use super::{
    config::DirectionConfig, jitter::Jitter, rng::Rng, shaper::Shaper, stall::StallProcess,
};
use std::{collections::VecDeque, time::Duration};

#[cfg(test)]
mod tests;

/// One direction of a link: a first-in first-out queue, a shaper, and the way through the air.
/// Packets carry a `T`. Times are on the caller's clock and never go back.
#[derive(Debug)]
pub struct SimplexLink<T> {
    config: DirectionConfig,
    rng: Rng,
    queue: VecDeque<Packet<T>>,
    queued_bytes: usize,
    shaper: Shaper,
    stalls: Option<StallProcess>,
    jitter: Jitter,
    /// In order of arrival.
    in_flight: VecDeque<(Duration, Packet<T>)>,
    in_flight_bytes: usize,
    last_arrival: Duration,
    outage: bool,
}

#[derive(Debug)]
struct Packet<T> {
    bytes: usize,
    payload: T,
}

impl<T> SimplexLink<T> {
    /// An idle link. The configuration must be valid, see
    /// [`LinkConfig::validate`](super::LinkConfig::validate). The seed decides jitter and stalls.
    #[must_use]
    pub fn new(config: DirectionConfig, seed: u64, now: Duration) -> Self {
        let mut link = Self {
            config,
            rng: Rng::new(seed),
            queue: VecDeque::new(),
            queued_bytes: 0,
            shaper: Shaper::new(config.bytes_per_s, now),
            stalls: None,
            jitter: Jitter::default(),
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            last_arrival: now,
            outage: false,
        };
        link.reset_stalls(now);
        link
    }

    /// What the direction is like.
    #[must_use]
    pub fn config(&self) -> &DirectionConfig {
        &self.config
    }

    /// Bytes that have entered and not arrived.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.queued_bytes + self.in_flight_bytes
    }

    /// Whether the queue takes more. A packet that is offered to a full queue is queued all the
    /// same: the link loses nothing, and who sends is to wait.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.limited_bytes() < self.config.queue_limit()
    }

    /// Whether a quarter of the queue is free, so that it is worth waking a sender.
    #[must_use]
    pub fn has_ample_room(&self) -> bool {
        self.limited_bytes() <= self.ample_level()
    }

    /// When there will be ample room if nothing stalls, to a packet. `None` in an outage, and where
    /// only arrivals make room.
    #[must_use]
    pub fn ample_room_at(&self) -> Option<Duration> {
        let excess = self.queued_bytes.saturating_sub(self.ample_level());
        (!self.outage && !self.config.is_unlimited()).then(|| self.shaper.finish(excess as f64))
    }

    /// Queues a packet. Returns whether the link was empty, so that whoever waits for arrivals
    /// must look again.
    pub fn offer(&mut self, now: Duration, bytes: usize, payload: T) -> bool {
        self.advance(now);
        let empty = self.queue.is_empty() && self.in_flight.is_empty();
        if self.queue.is_empty() {
            self.shaper.restart(now);
        }
        self.queue.push_back(Packet { bytes, payload });
        self.queued_bytes += bytes;
        empty
    }

    /// The next packet that has arrived by `now`, and when it arrived.
    pub fn pop_arrival(&mut self, now: Duration) -> Option<(Duration, T)> {
        self.advance(now);
        if self.outage || self.in_flight.front()?.0 > now {
            return None;
        }
        let (arrival, packet) = self.in_flight.pop_front()?;
        self.in_flight_bytes -= packet.bytes;
        Some((arrival, packet.payload))
    }

    /// Before this nothing arrives; at this time something has arrived, or a better estimate can
    /// be had. `None` while nothing can arrive.
    pub fn next_arrival(&mut self) -> Option<Duration> {
        if self.outage {
            return None;
        }
        if let Some((arrival, _)) = self.in_flight.front() {
            return Some(*arrival);
        }
        let earliest = self.config.delay.saturating_sub(self.config.jitter);
        self.first_departure().map(|departure| departure + earliest)
    }

    /// When all that has entered will have arrived, but for jitter and stalls to come.
    #[must_use]
    pub fn last_arrival(&self) -> Duration {
        if self.queue.is_empty() {
            self.last_arrival
        } else {
            self.last_arrival.max(self.shaper.finish(self.queued_bytes as f64) + self.config.delay)
        }
    }

    /// Changes the link for every byte that is not transmitted. Ends a stall.
    pub fn set_config(&mut self, now: Duration, config: DirectionConfig) {
        self.advance(now);
        self.keep_progress(now);
        self.shaper.set_rate(config.bytes_per_s);
        self.config = config;
        self.jitter = Jitter::default();
        self.reset_stalls(now);
    }

    /// Begins or ends an outage, in which nothing is transmitted and nothing arrives; what has
    /// entered waits.
    pub fn set_outage(&mut self, now: Duration, on: bool) {
        self.advance(now);
        self.keep_progress(now);
        self.outage = on;
    }

    /// Drops the packets for whose payload `gone` is true.
    pub fn discard(&mut self, now: Duration, gone: impl Fn(&T) -> bool) {
        self.advance(now);
        if self.queue.front().is_some_and(|packet| gone(&packet.payload)) {
            self.shaper.restart(now);
        }
        self.queue.retain(|packet| !gone(&packet.payload));
        self.in_flight.retain(|(_, packet)| !gone(&packet.payload));
        self.queued_bytes = self.queue.iter().map(|packet| packet.bytes).sum();
        self.in_flight_bytes = self.in_flight.iter().map(|(_, packet)| packet.bytes).sum();
    }

    fn reset_stalls(&mut self, now: Duration) {
        self.stalls =
            self.config.stalls.map(|stalls| StallProcess::new(stalls, now, &mut self.rng));
    }

    /// Bytes that count against the queue's limit. Where no rate bounds what is in flight, that
    /// counts too.
    fn limited_bytes(&self) -> usize {
        if self.config.is_unlimited() { self.held_bytes() } else { self.queued_bytes }
    }

    fn ample_level(&self) -> usize {
        self.config.queue_limit() / 4 * 3
    }

    /// When the first queued packet will be transmitted.
    fn first_departure(&mut self) -> Option<Duration> {
        let bytes = self.queue.front()?.bytes;
        if let Some(stalls) = &mut self.stalls {
            while let Some(held_back) = stalls.strike(
                self.shaper.finish(0.0),
                self.shaper.finish(bytes as f64),
                bytes,
                &mut self.rng,
            ) {
                self.shaper.stall(held_back);
            }
        }
        Some(self.shaper.finish(bytes as f64))
    }

    /// Sends on their way all packets that are transmitted by `now`.
    fn advance(&mut self, now: Duration) {
        if self.outage {
            return;
        }
        while let Some(departure) = self.first_departure().filter(|departure| *departure <= now)
            && let Some(packet) = self.queue.pop_front()
        {
            self.queued_bytes -= packet.bytes;
            self.shaper.complete(packet.bytes);
            if let Some(stalls) = &mut self.stalls {
                stalls.passed(packet.bytes);
            }
            let DirectionConfig { delay, jitter, .. } = self.config;
            let delay = self.jitter.delay_at(departure, delay, jitter, &mut self.rng);
            self.last_arrival = self.last_arrival.max(departure + delay);
            self.in_flight_bytes += packet.bytes;
            self.in_flight.push_back((self.last_arrival, packet));
        }
    }

    /// What of the first queued packet is transmitted stays so when the rate changes.
    fn keep_progress(&mut self, now: Duration) {
        if self.outage {
            self.shaper.pause_until(now);
        } else if let Some(packet) = self.queue.front() {
            self.shaper.keep_progress(now, packet.bytes);
        }
    }
}
