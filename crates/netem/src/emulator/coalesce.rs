//! Coalescing of wake-ups in a stream of arrivals.

use std::time::Duration;

/// A wake-up costs up to 80 us of a core, the receiver's side of the kernel included; at 330 a
/// second a link costs less than 3 % of one.
const MAX_TICK: Duration = Duration::from_millis(3);
const MIN_TICK: Duration = Duration::from_micros(250);
/// A tick is this part of the time that the stream has lasted.
const SHARE: u32 = 8;
/// Arrivals further apart are no stream.
const GAP: Duration = Duration::from_millis(6);

/// Arrivals of a stream are handed over together when they are closer than a tick. Short bursts are
/// timed finely, long streams cost little.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    began: Duration,
    last: Duration,
    tick: Duration,
}

impl Coalescer {
    /// Arrivals are handed over at `now`.
    pub(super) fn hand_over(&mut self, now: Duration) {
        if now.saturating_sub(self.last) > GAP {
            self.began = now;
        }
        self.last = now;
        self.tick = (now.saturating_sub(self.began) / SHARE).clamp(MIN_TICK, MAX_TICK);
    }

    /// Before this the next are not, unless they are the stream's last.
    pub(super) fn not_before(&self) -> Duration {
        self.last + self.tick
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_grow_with_the_stream_and_begin_again_after_a_gap() {
        let mut coalescer = Coalescer::default();
        let mut now = Duration::from_secs(1);
        let mut tick = |gap: Duration| {
            now += gap;
            coalescer.hand_over(now);
            coalescer.not_before() - now
        };
        assert_eq!(tick(Duration::ZERO), MIN_TICK);
        let ticks: Vec<_> = (0..13).map(|_| tick(Duration::from_millis(2))).collect();
        assert!(ticks.is_sorted());
        assert_eq!(ticks[12], MAX_TICK);
        assert_eq!(tick(2 * GAP), MIN_TICK);
    }
}
