//! The early end of a run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Asked for from outside, for example by Ctrl-C; turns end at their next token, and what was
/// measured is reported.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

/// How long a thread sleeps before it looks again.
const LOOK: Duration = Duration::from_millis(20);

impl Stop {
    /// Asks for the end.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sleeps until a moment, or less when the end is asked for; false then.
    pub(crate) fn sleep_until(&self, moment: Instant) -> bool {
        loop {
            let left = moment.saturating_duration_since(Instant::now());
            if self.is_asked() {
                return false;
            }
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(LOOK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_ends_when_the_end_is_asked_for() {
        let stop = Stop::default();
        assert!(stop.sleep_until(Instant::now()));
        let other = stop.clone();
        let sleeper =
            thread::spawn(move || other.sleep_until(Instant::now() + Duration::from_secs(3600)));
        stop.ask();
        assert!(!sleeper.join().unwrap_or(true));
    }
}
