//! Token times: time to first token (TTFT), time between tokens (TBT) and the time of each round.

use std::time::Duration;

/// Times at which a turn's tokens were confirmed. They count from the turn's start.
#[derive(Clone, Debug, Default)]
pub struct TokenTimes {
    last: Option<Duration>,
    ttft: Duration,
    gaps: Vec<Duration>,
    round: Option<OpenRound>,
}

/// The verification round under way.
#[derive(Clone, Copy, Debug)]
struct OpenRound {
    started: Duration,
    tokens: usize,
}

/// A verification round that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTime {
    /// Tokens that it confirmed.
    pub tokens: usize,
    /// Time since the round before it ended.
    pub time: Duration,
}

impl TokenTimes {
    /// An answer confirmed `tokens` at `now`. One that `settled` its round gives the round's tokens
    /// and time, unless that round was the prompt's.
    pub fn confirmed(&mut self, now: Duration, tokens: usize, settled: bool) -> Option<RoundTime> {
        match self.last {
            None => self.ttft = now,
            Some(last) => {
                let share =
                    now.saturating_sub(last) / u32::try_from(tokens.max(1)).unwrap_or(u32::MAX);
                self.gaps.extend(std::iter::repeat_n(share, tokens));
            }
        }
        self.last = Some(now);
        let mut over = None;
        if let Some(OpenRound { started, tokens: of_round }) = &mut self.round {
            *of_round += tokens;
            let time = now.saturating_sub(*started);
            over = settled.then_some(RoundTime { tokens: *of_round, time });
        }
        if settled {
            self.round = Some(OpenRound { started: now, tokens: 0 });
        }
        over
    }

    /// Time to first token; zero before there is one.
    #[must_use]
    pub fn ttft(&self) -> Duration {
        self.ttft
    }

    /// Time between tokens, one entry a token after those of the first answer; the tokens of one
    /// answer share its time equally.
    #[must_use]
    pub fn gaps(&self) -> &[Duration] {
        &self.gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn tokens_of_one_answer_share_its_time() {
        let mut times = TokenTimes::default();
        times.confirmed(ms(100), 1, true);
        times.confirmed(ms(130), 3, true);
        times.confirmed(ms(150), 1, true);
        assert_eq!(times.ttft(), ms(100));
        assert_eq!(times.gaps(), [ms(10), ms(10), ms(10), ms(20)]);
    }

    #[test]
    fn a_round_lasts_from_the_end_of_the_one_before_over_all_its_answers() {
        let mut times = TokenTimes::default();
        assert_eq!(times.confirmed(ms(100), 1, true), None, "the prompt's");
        assert_eq!(times.confirmed(ms(120), 2, false), None);
        let round = RoundTime { tokens: 3, time: ms(50) };
        assert_eq!(times.confirmed(ms(150), 1, true), Some(round));
        let round = RoundTime { tokens: 1, time: ms(10) };
        assert_eq!(times.confirmed(ms(160), 1, true), Some(round));
    }
}
