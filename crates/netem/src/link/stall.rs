//! Stalls: moments in which nothing leaves, as after a loss or in a fade.

use super::{config::MAX_DELAY, rng::Rng};
use std::time::Duration;

const MAX_RATE: f64 = 1000.0;
const MEGABYTE: f64 = 1e6;

/// Stalls at random moments (a Poisson process).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stalls {
    /// Mean rate of stalls.
    pub rate: StallRate,
    /// Duration of each stall.
    pub duration: Duration,
}

/// How often a direction stalls, in the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StallRate {
    /// So many times a second outside of stalls, whether anything is sent or not.
    PerSecond(f64),
    /// So many times in a million bytes sent.
    PerMegabyte(f64),
}

impl Stalls {
    pub(super) fn is_valid(&self) -> bool {
        let (StallRate::PerSecond(rate) | StallRate::PerMegabyte(rate)) = self.rate;
        rate > 0.0 && rate <= MAX_RATE && !self.duration.is_zero() && self.duration <= MAX_DELAY
    }
}

/// When the next stall comes.
#[derive(Debug)]
pub(super) struct StallProcess {
    stalls: Stalls,
    /// Seconds on the caller's clock, or bytes from where the next packet begins.
    next: f64,
}

impl StallProcess {
    pub(super) fn new(stalls: Stalls, now: Duration, rng: &mut Rng) -> Self {
        let mut process = Self { stalls, next: 0.0 };
        process.next = process.gap(rng);
        if let StallRate::PerSecond(_) = stalls.rate {
            process.next += now.as_secs_f64();
        }
        process
    }

    fn gap(&self, rng: &mut Rng) -> f64 {
        match self.stalls.rate {
            StallRate::PerSecond(rate) => rng.exponential(1.0 / rate),
            StallRate::PerMegabyte(rate) => rng.exponential(MEGABYTE / rate),
        }
    }

    /// The time by which the next stall holds back a packet of `bytes` whose transmission would
    /// last from `start` to `finish`; `None` when none touches it. To be asked until it is `None`,
    /// each time with the times moved by the answer before.
    pub(super) fn strike(
        &mut self,
        start: Duration,
        finish: Duration,
        bytes: usize,
        rng: &mut Rng,
    ) -> Option<Duration> {
        let Stalls { rate, duration } = self.stalls;
        let begins = self.next;
        match rate {
            StallRate::PerSecond(_) => {
                if begins >= finish.as_secs_f64() {
                    return None;
                }
                let ends = begins + duration.as_secs_f64();
                self.next = ends + self.gap(rng);
                Some(Duration::from_secs_f64((ends - begins.max(start.as_secs_f64())).max(0.0)))
            }
            StallRate::PerMegabyte(_) => {
                if begins >= bytes as f64 {
                    return None;
                }
                self.next += self.gap(rng);
                Some(duration)
            }
        }
    }

    /// A packet of `bytes` has left.
    pub(super) fn passed(&mut self, bytes: usize) {
        if let StallRate::PerMegabyte(_) = self.stalls.rate {
            self.next -= bytes as f64;
        }
    }
}
