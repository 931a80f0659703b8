//! Patience: the wait for a client that does not keep up.

use std::time::Duration;

/// Time that an update gives back when it is taken: a client that takes one a second is never
/// given up.
const REFILL: Duration = Duration::from_secs(1);

/// A time that waits for a client use up and updates that it takes refill (a leaky bucket): were
/// each wait given the whole, a client that takes an update now and then would hold its slot for
/// hours.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Patience {
    whole: Duration,
    left: Duration,
}

impl Patience {
    pub(in crate::engine) fn new(whole: Duration) -> Self {
        Self { whole, left: whole }
    }

    /// The longest that the next wait may take.
    pub(in crate::engine) fn left(&self) -> Duration {
        self.left
    }

    /// The client was waited for.
    pub(in crate::engine) fn waited(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }

    /// The client took an update.
    pub(in crate::engine) fn taken(&mut self) {
        self.left = self.left.saturating_add(REFILL).min(self.whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Duration = Duration::from_secs(30);

    /// The time for which a client that takes an update every `step` holds a slot, up to a day.
    fn held(step: Duration) -> Duration {
        let (mut patience, mut held) = (Patience::new(WHOLE), Duration::ZERO);
        while step <= patience.left() && held < Duration::from_secs(86_400) {
            patience.waited(step);
            patience.taken();
            held += step;
        }
        held + patience.left()
    }

    #[test]
    fn one_that_takes_an_update_a_second_is_never_given_up() {
        assert!(held(Duration::from_secs(1)) >= Duration::from_secs(86_400));
    }

    #[test]
    fn one_that_drips_is_given_up_soon() {
        for step in [2, 5, 29, 30] {
            let held = held(Duration::from_secs(step));
            assert!(held <= 2 * WHOLE, "{held:?} at one every {step} s");
        }
    }

    #[test]
    fn the_whole_is_the_most_there_is() {
        let mut patience = Patience::new(WHOLE);
        (0..100).for_each(|_| patience.taken());
        assert_eq!(patience.left(), WHOLE);
        patience.waited(2 * WHOLE);
        assert_eq!(patience.left(), Duration::ZERO);
        patience.taken();
        assert_eq!(patience.left(), REFILL);
    }
}
