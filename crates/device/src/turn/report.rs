//! Report of a turn: its text, counters, times and bytes.

use super::trace::{TraceEvent, WireSample};
use crate::transport::Traffic;
use std::time::Duration;
use tricorn_core::{FinishReason, TurnStats};

/// The figures of one turn.
#[derive(Clone, Debug)]
pub struct TurnReport {
    /// The generated tokens; a stop token is the last of them.
    pub token_ids: Vec<u32>,
    /// The reason why it ended.
    pub finish: FinishReason,
    /// Counters.
    pub stats: TurnStats,
    /// Time to first token (TTFT), from the turn's start.
    pub ttft: Duration,
    /// Time between tokens (TBT), one entry a token after the first; the tokens of one round share
    /// its time equally.
    pub gaps: Vec<Duration>,
    /// Bytes of messages sent to the cloud.
    pub bytes_up: u64,
    /// Bytes of messages received from it.
    pub bytes_down: u64,
    /// Events with their times, in order.
    pub trace: Vec<TraceEvent>,
    /// Samples of what crossed the wire, where they were asked for.
    pub wire: Vec<WireSample>,
    /// Operations that took longer than the emulated device's throttle; 0 without one.
    pub overruns: usize,
}

/// Bytes and samples of a turn that had crossed the wire when it failed.
#[derive(Debug, Default)]
pub(crate) struct Crossed {
    pub(crate) traffic: Traffic,
    pub(crate) wire: Vec<WireSample>,
}

impl TurnReport {
    /// Mean time between tokens; zero for fewer than two tokens.
    #[must_use]
    pub fn tbt_mean(&self) -> Duration {
        self.gaps.iter().sum::<Duration>()
            / u32::try_from(self.gaps.len().max(1)).unwrap_or(u32::MAX)
    }

    /// The smallest time that at least `share` (0 to 1) of the gaps do not exceed (nearest rank);
    /// zero for fewer than two tokens.
    #[must_use]
    pub fn tbt_quantile(&self, share: f64) -> Duration {
        let mut gaps = self.gaps.clone();
        gaps.sort_unstable();
        let rank = (share.clamp(0.0, 1.0) * gaps.len() as f64).ceil() as usize;
        gaps.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Whether drafting gains next to nothing, which a user should hear about: fewer than 1.15
    /// tokens a round over at least 8 rounds.
    #[must_use]
    pub fn drafts_in_vain(&self) -> bool {
        self.stats.drafted > 0 && self.stats.rounds >= 8 && self.stats.accepted_per_round() < 1.15
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let gaps = (1..=10).rev().map(Duration::from_millis).collect();
        let report = TurnReport {
            token_ids: Vec::new(),
            finish: FinishReason::Length,
            stats: TurnStats::default(),
            ttft: Duration::ZERO,
            gaps,
            bytes_up: 0,
            bytes_down: 0,
            trace: Vec::new(),
            wire: Vec::new(),
            overruns: 0,
        };
        assert_eq!(report.tbt_quantile(0.5), Duration::from_millis(5));
        assert_eq!(report.tbt_quantile(0.99), Duration::from_millis(10));
        assert_eq!(report.tbt_quantile(0.0), Duration::from_millis(1));
        assert_eq!(report.tbt_mean(), Duration::from_micros(5500));
    }
}
