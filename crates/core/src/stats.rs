//! Statistics of one turn: what it cost and gained, counted in tokens.

/// Counters of one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnStats {
    /// Tokens that the turn started with.
    pub prompt_tokens: usize,
    /// Of these, the ones whose hidden rows the cloud still held, so that they were not uploaded.
    pub reused_tokens: usize,
    /// Tokens generated: one from the prompt's answer, the others from verification rounds.
    pub generated: usize,
    /// Verification rounds answered.
    pub rounds: usize,
    /// Tokens generated in verification rounds: the accepted drafts, and the target's own token of
    /// each round.
    pub verified: usize,
    /// Draft tokens proposed.
    pub drafted: usize,
    /// Draft tokens that the target agreed with.
    pub accepted: usize,
    /// Rounds beside which continuations were drafted while they were verified.
    pub branch_rounds: usize,
    /// Rounds after which such a continuation was what the target went on with, so that the next
    /// round began with its drafts.
    pub branch_hits: usize,
    /// Tokens drafted in continuations, used or not. Those that a round took over count as
    /// [`drafted`](Self::drafted) too.
    pub branch_tokens: usize,
    /// Rows uploaded, those repeated after a lost connection included.
    pub uploaded_rows: usize,
    /// Connections lost.
    pub lost_connections: usize,
}

impl TurnStats {
    /// Tokens gained by a verification round on average: its accepted drafts and the target's own.
    /// 1 without drafts, 0 before a round.
    #[must_use]
    pub fn accepted_per_round(&self) -> f64 {
        if self.rounds == 0 { 0.0 } else { self.verified as f64 / self.rounds as f64 }
    }

    /// The share of drafts that were accepted, 0 to 1; 0 when nothing was drafted.
    #[must_use]
    pub fn acceptance(&self) -> f64 {
        if self.drafted == 0 { 0.0 } else { self.accepted as f64 / self.drafted as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios() {
        assert_eq!(TurnStats::default().accepted_per_round(), 0.0);
        assert_eq!(TurnStats::default().acceptance(), 0.0);
        let stats =
            TurnStats { rounds: 4, verified: 10, drafted: 8, accepted: 6, ..TurnStats::default() };
        assert_eq!((stats.accepted_per_round(), stats.acceptance()), (2.5, 0.75));
    }
}
