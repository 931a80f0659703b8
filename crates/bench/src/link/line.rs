//! One direction of a link as arithmetic: which piece leaves when, and when it arrives.
//!
//! A piece leaves when its last byte has been transmitted. Within a busy period that is `anchor +
//! bytes / rate`, from the bytes of the whole period: however the bytes are cut and whenever
//! anybody looks, the rate is exact and no error adds up.

use super::{shape::Direction, stall::StallClock};
use crate::rng::Rng;
use std::{collections::VecDeque, time::Duration};

#[cfg(test)]
mod tests;

/// A first-in first-out queue, a transmitter and the way through the air. Times are on the caller's
/// clock and never go back.
#[derive(Debug)]
pub(super) struct Line<T> {
    direction: Direction,
    rng: Rng,
    /// Where the count of `carried` began.
    anchor: Duration,
    /// Bytes transmitted since the anchor; below zero for those of the first waiting piece that
    /// were transmitted before it.
    carried: f64,
    waiting: VecDeque<Piece<T>>,
    waiting_bytes: usize,
    /// In order of arrival.
    flying: VecDeque<(Duration, Piece<T>)>,
    flying_bytes: usize,
    last_arrival: Duration,
    sway: Sway,
    stalls: Option<StallClock>,
    outage: bool,
}

#[derive(Debug)]
struct Piece<T> {
    bytes: usize,
    parcel: T,
}

/// Jitter of the moment, as a share of the most.
#[derive(Debug, Default)]
struct Sway {
    share: f64,
    until: Duration,
}

impl<T> Line<T> {
    /// An idle line. The direction must be valid.
    pub(super) fn new(direction: Direction, seed: u64, now: Duration) -> Self {
        let mut line = Self {
            direction,
            rng: Rng::new(seed),
            anchor: now,
            carried: 0.0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            flying: VecDeque::new(),
            flying_bytes: 0,
            last_arrival: now,
            sway: Sway::default(),
            stalls: None,
            outage: false,
        };
        line.reset_stalls(now);
        line
    }

    pub(super) fn direction(&self) -> &Direction {
        &self.direction
    }

    /// Bytes that have entered and not arrived.
    pub(super) fn held_bytes(&self) -> usize {
        self.waiting_bytes + self.flying_bytes
    }

    /// Whether more may enter.
    pub(super) fn has_room(&self) -> bool {
        self.queued() < self.direction.queue_limit()
    }

    /// Whether so much room is there that it is worth waking a sender.
    pub(super) fn has_ample_room(&self) -> bool {
        self.queued() <= self.ample_level()
    }

    /// When there will be ample room if nothing stalls, to a piece. `None` in an outage, and where
    /// only arrivals make room.
    pub(super) fn ample_room_at(&self) -> Option<Duration> {
        let excess = self.waiting_bytes.saturating_sub(self.ample_level());
        (!self.outage && !self.direction.is_unlimited()).then(|| self.transmitted(excess as f64))
    }

    /// Lets a piece enter. Returns whether the line was empty, so that whoever waits for arrivals
    /// must look again.
    pub(super) fn offer(&mut self, now: Duration, bytes: usize, parcel: T) -> bool {
        self.advance(now);
        let empty = self.waiting.is_empty() && self.flying.is_empty();
        if self.waiting.is_empty() {
            self.anchor = now;
            self.carried = 0.0;
        }
        self.waiting.push_back(Piece { bytes, parcel });
        self.waiting_bytes += bytes;
        empty
    }

    /// Appends to `arrived` what has come through by `now`.
    pub(super) fn take_arrived(&mut self, now: Duration, arrived: &mut Vec<T>) {
        self.advance(now);
        while !self.outage
            && self.flying.front().is_some_and(|(arrival, _)| *arrival <= now)
            && let Some((_, piece)) = self.flying.pop_front()
        {
            self.flying_bytes -= piece.bytes;
            arrived.push(piece.parcel);
        }
    }

    /// Before this nothing arrives. `None` while nothing can.
    pub(super) fn next_arrival(&mut self) -> Option<Duration> {
        if self.outage {
            return None;
        }
        if let Some((arrival, _)) = self.flying.front() {
            return Some(*arrival);
        }
        let earliest = self.direction.delay.saturating_sub(self.direction.jitter);
        self.first_departure().map(|departure| departure + earliest)
    }

    /// When all that has entered will have arrived, but for jitter and stalls to come.
    pub(super) fn last_arrival(&self) -> Duration {
        if self.waiting.is_empty() {
            self.last_arrival
        } else {
            self.last_arrival
                .max(self.transmitted(self.waiting_bytes as f64) + self.direction.delay)
        }
    }

    /// Changes the line for every byte that has not been transmitted. Ends a stall.
    pub(super) fn reshape(&mut self, now: Duration, direction: Direction) {
        self.advance(now);
        self.keep_progress(now);
        self.direction = direction;
        self.sway = Sway::default();
        self.reset_stalls(now);
    }

    /// In an outage nothing is transmitted and nothing arrives; what has entered waits.
    pub(super) fn set_outage(&mut self, now: Duration, on: bool) {
        self.advance(now);
        self.keep_progress(now);
        self.outage = on;
    }

    /// Drops the pieces of which `gone` is true.
    pub(super) fn discard(&mut self, now: Duration, gone: impl Fn(&T) -> bool) {
        self.advance(now);
        if self.waiting.front().is_some_and(|piece| gone(&piece.parcel)) {
            self.anchor = now;
            self.carried = 0.0;
        }
        self.waiting.retain(|piece| !gone(&piece.parcel));
        self.flying.retain(|(_, piece)| !gone(&piece.parcel));
        self.waiting_bytes = self.waiting.iter().map(|piece| piece.bytes).sum();
        self.flying_bytes = self.flying.iter().map(|(_, piece)| piece.bytes).sum();
    }

    fn reset_stalls(&mut self, now: Duration) {
        self.stalls =
            self.direction.stalls.map(|stalls| StallClock::new(stalls, now, &mut self.rng));
    }

    /// Bytes that count against the queue's limit. Where no rate bounds what is under way, that
    /// counts too.
    fn queued(&self) -> usize {
        if self.direction.is_unlimited() { self.held_bytes() } else { self.waiting_bytes }
    }

    fn ample_level(&self) -> usize {
        self.direction.queue_limit() / 4 * 3
    }

    /// When `bytes` more will have been transmitted.
    fn transmitted(&self, bytes: f64) -> Duration {
        self.anchor
            + Duration::from_secs_f64(
                ((self.carried + bytes) / self.direction.bytes_per_s).max(0.0),
            )
    }

    /// When the first waiting piece will have been transmitted.
    fn first_departure(&mut self) -> Option<Duration> {
        let bytes = self.waiting.front()?.bytes;
        if let Some(mut stalls) = self.stalls.take() {
            while let Some(held_back) = stalls.strike(
                self.transmitted(0.0),
                self.transmitted(bytes as f64),
                bytes,
                &mut self.rng,
            ) {
                self.anchor += held_back;
            }
            self.stalls = Some(stalls);
        }
        Some(self.transmitted(bytes as f64))
    }

    /// Sends on their way all pieces that have been transmitted by `now`.
    fn advance(&mut self, now: Duration) {
        if self.outage {
            return;
        }
        while let Some(departure) = self.first_departure().filter(|departure| *departure <= now)
            && let Some(piece) = self.waiting.pop_front()
        {
            self.waiting_bytes -= piece.bytes;
            self.carried += piece.bytes as f64;
            if let Some(stalls) = &mut self.stalls {
                stalls.passed(piece.bytes);
            }
            self.last_arrival = self.last_arrival.max(departure + self.delay_at(departure));
            self.flying_bytes += piece.bytes;
            self.flying.push_back((self.last_arrival, piece));
        }
    }

    /// Jitter holds for as long as it is wide: drawn for every piece, the longest would always win,
    /// since nothing overtakes.
    fn delay_at(&mut self, departure: Duration) -> Duration {
        let Direction { delay, jitter, .. } = self.direction;
        if jitter.is_zero() {
            return delay;
        }
        if departure >= self.sway.until {
            self.sway =
                Sway { share: 2.0 * self.rng.uniform() - 1.0, until: departure + 2 * jitter };
        }
        let shift = jitter.mul_f64(self.sway.share.abs());
        if self.sway.share < 0.0 { delay.saturating_sub(shift) } else { delay + shift }
    }

    /// Begins a new count at `now` and credits the first waiting piece with what of it has been
    /// transmitted.
    fn keep_progress(&mut self, now: Duration) {
        if self.outage {
            self.anchor = now;
        } else if let Some(piece) = self.waiting.front() {
            let seconds = now.saturating_sub(self.anchor).as_secs_f64();
            let transmitted = (seconds * self.direction.bytes_per_s - self.carried)
                .clamp(0.0, piece.bytes as f64);
            self.anchor = now;
            self.carried = -transmitted;
        }
    }
}
