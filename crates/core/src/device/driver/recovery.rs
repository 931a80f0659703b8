//! Recovery: when a lost session is replaced, after which wait, and when a turn gives up.

use super::backoff::Backoff;
use std::time::Duration;

/// Losses without a token in between after which a turn gives up.
const MAX_LOSSES: usize = 5;

/// The way in which a session was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The connection broke, or the cloud broke the protocol.
    Lost,
    /// The cloud ended the session for want of room.
    Evicted,
}

/// The consequence of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLoss {
    /// A new session is opened after this wait, and everything is replayed.
    Reconnect {
        /// The wait; zero after the first loss.
        after: Duration,
    },
    /// The turn fails: the cloud has no room for this text.
    NoRoom,
    /// The turn fails: sessions are lost again and again.
    GiveUp {
        /// Losses without a token in between.
        losses: usize,
    },
}

/// The losses of one turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovery {
    losses: usize,
    backoff: Backoff,
}

impl Recovery {
    /// A session was lost.
    ///
    /// A first eviction may have been another session's fault, and that one may be gone by now.
    /// After a second it is this text that does not fit, and no replay helps.
    pub fn lost(&mut self, loss: Loss) -> AfterLoss {
        if loss == Loss::Evicted && self.losses > 0 {
            return AfterLoss::NoRoom;
        }
        self.losses += 1;
        if self.losses >= MAX_LOSSES {
            return AfterLoss::GiveUp { losses: self.losses };
        }
        let wait = self.losses.checked_sub(2).and_then(|loss| self.backoff.waits().nth(loss));
        AfterLoss::Reconnect { after: wait.unwrap_or_default() }
    }

    /// A token was confirmed. Nothing less is progress: a cloud may acknowledge a replay each time
    /// before it fails again.
    pub fn progressed(&mut self) {
        self.losses = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(millis: u64) -> AfterLoss {
        AfterLoss::Reconnect { after: Duration::from_millis(millis) }
    }

    #[test]
    fn the_first_loss_is_replaced_at_once_and_the_fifth_ends_the_turn() {
        let mut recovery = Recovery::default();
        let losses: Vec<AfterLoss> = (0..5).map(|_| recovery.lost(Loss::Lost)).collect();
        let given_up = AfterLoss::GiveUp { losses: 5 };
        assert_eq!(losses, [after(0), after(200), after(400), after(800), given_up]);
    }

    #[test]
    fn a_token_in_between_starts_the_count_again() {
        let mut recovery = Recovery::default();
        for _ in 0..20 {
            assert_eq!(recovery.lost(Loss::Lost), after(0));
            assert_eq!(recovery.lost(Loss::Lost), after(200));
            recovery.progressed();
        }
    }

    #[test]
    fn a_second_eviction_in_a_row_means_no_room() {
        let mut recovery = Recovery::default();
        assert_eq!(recovery.lost(Loss::Evicted), after(0));
        assert_eq!(recovery.lost(Loss::Evicted), AfterLoss::NoRoom);
        recovery.progressed();
        assert_eq!(recovery.lost(Loss::Evicted), after(0));
        assert_eq!(recovery.lost(Loss::Lost), after(200));
        assert_eq!(recovery.lost(Loss::Evicted), AfterLoss::NoRoom);
    }
}
