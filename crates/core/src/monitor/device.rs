//! Monitor of a device: its own speed, its link, and the cloud's word, put together.

use std::time::Duration;

use super::{
    AnswerTiming, Average, CloudThroughput, Conditions, cost::CostModel, link::LinkMonitor,
};

/// The weight of past rounds in the rate of tokens: rounds differ a lot.
const ROUND_HISTORY: f64 = 0.95;

/// Rows of an append whose bytes are mostly those of its rows.
const MANY_ROWS: usize = 8;

/// Keeps the measurements of one device; all its conversations share it.
#[derive(Clone, Debug)]
pub struct DeviceMonitor {
    link: LinkMonitor,
    throughput: Option<CloudThroughput>,
    row_bytes: Average,
    shallow: CostModel,
    draft: CostModel,
    round_tokens: Average,
    round_seconds: Average,
}

/// An append's answer, as it came back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answered {
    /// Bytes of the append.
    pub bytes: u64,
    /// Time since the append was handed to the link, when it was alone on its way; `None`
    /// otherwise.
    pub elapsed: Option<Duration>,
    /// Whether the answer was waited for; if not, it may have lain unread for some of that time.
    pub awaited: bool,
    /// Where the cloud spent its time.
    pub timing: AnswerTiming,
    /// How fast the cloud says it is.
    pub throughput: Option<CloudThroughput>,
}

impl Default for DeviceMonitor {
    fn default() -> Self {
        Self::new()
    }
}

impl DeviceMonitor {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        let rounds = || Average::with_history(ROUND_HISTORY);
        Self {
            link: LinkMonitor::default(),
            throughput: None,
            row_bytes: Average::new(),
            shallow: CostModel::default(),
            draft: CostModel::default(),
            round_tokens: rounds(),
            round_seconds: rounds(),
        }
    }

    /// A session was opened: the time that took, which is a round trip or more, and how fast the
    /// cloud says it is.
    pub fn connected(&mut self, round_trip: Option<Duration>, throughput: Option<CloudThroughput>) {
        if let Some(time) = round_trip {
            self.link.opened(time);
        }
        self.hear(throughput);
    }

    /// An append of `rows` rows took `bytes` bytes on the wire.
    pub fn sent(&mut self, rows: usize, bytes: u64) {
        if rows >= MANY_ROWS && bytes > 0 {
            self.row_bytes.add(bytes as f64 / rows as f64);
        }
    }

    /// An append was answered.
    pub fn answered(&mut self, Answered { bytes, elapsed, awaited, timing, throughput }: Answered) {
        self.link.answered(bytes, elapsed, awaited, &timing);
        self.hear(throughput);
    }

    /// Computing `rows` shallow rows at once took `time`.
    pub fn shallow(&mut self, rows: usize, time: Duration) {
        self.shallow.observe(rows, time);
    }

    /// One draft step for `branches` continuations at once took `time`.
    pub fn drafted(&mut self, branches: usize, time: Duration) {
        self.draft.observe(branches, time);
    }

    /// A round gave `tokens` tokens and took `time`.
    pub fn round(&mut self, tokens: usize, time: Duration) {
        self.round_tokens.add(tokens as f64);
        self.round_seconds.add(time.as_secs_f64());
    }

    /// What is known now; hidden rows take `row_bytes` bytes on the wire until some were sent.
    #[must_use]
    pub fn conditions(&self, row_bytes: usize) -> Conditions {
        let rate = self.round_tokens.get().zip(self.round_seconds.get());
        Conditions {
            row_bytes: self.row_bytes.get().map_or(row_bytes, |bytes| bytes.round() as usize),
            uplink: self.link.uplink(),
            rtt: self.link.rtt(),
            throughput: self.throughput.clone(),
            shallow: self.shallow.get(),
            draft: self.draft.get(),
            tokens_per_second: rate
                .filter(|(_, seconds)| *seconds > 0.0)
                .map(|(tokens, seconds)| tokens / seconds),
        }
    }

    /// Short answers leave out the delays of batches: those said before hold.
    fn hear(&mut self, throughput: Option<CloudThroughput>) {
        let Some(mut throughput) = throughput else { return };
        if throughput.delay.is_empty() {
            throughput.delay = self.throughput.take().map_or_else(Vec::new, |before| before.delay);
        }
        self.throughput = Some(throughput);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::monitor::{DelayPoint, Received};

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn chunk(bytes: u64, time: Duration) -> Answered {
        Answered {
            bytes,
            timing: AnswerTiming {
                received: Some(Received { bytes, time }),
                ..AnswerTiming::default()
            },
            ..Answered::default()
        }
    }

    #[test]
    fn the_uplink_is_what_the_cloud_saw_arrive() {
        let mut monitor = DeviceMonitor::new();
        monitor.answered(chunk(1000, ms(1)));
        monitor.answered(chunk(100_000, Duration::ZERO));
        assert_eq!(monitor.conditions(512).uplink, Some(1e8), "a burst says at least that much");
        monitor.answered(chunk(75_000, ms(10)));
        assert_eq!(monitor.conditions(512).uplink, Some(7.5e6), "one measurement says more");
        monitor.answered(chunk(1000, ms(10)));
        monitor.answered(chunk(20_000_000, ms(5_000)));
        let uplink = monitor.conditions(512).uplink.unwrap();
        assert!((6.5e6..7.5e6).contains(&uplink), "{uplink}");
    }

    #[test]
    fn the_round_trip_is_what_the_rest_does_not_explain() {
        let mut monitor = DeviceMonitor::new();
        monitor.connected(Some(ms(20)), None);
        assert_eq!(monitor.conditions(512).rtt, Some(ms(20)));
        (0..3).for_each(|_| monitor.answered(chunk(75_000, ms(10))));
        let timing = AnswerTiming { queue: ms(5), compute: ms(7), ..AnswerTiming::default() };
        // 7.5 kB take 1 ms up.
        let answered = Answered {
            bytes: 7500,
            elapsed: Some(ms(43)),
            awaited: true,
            timing,
            throughput: None,
        };
        monitor.answered(answered.clone());
        assert!(
            monitor.conditions(512).rtt.unwrap().abs_diff(ms(30)) < Duration::from_micros(10),
            "opening takes less or more"
        );
        monitor.connected(Some(ms(500)), None);
        assert!(monitor.conditions(512).rtt.unwrap() < ms(31), "what appends show counts");
        let before = monitor.conditions(512).rtt;
        monitor.answered(Answered { elapsed: None, ..answered.clone() });
        monitor.answered(Answered { awaited: false, ..answered.clone() });
        assert_eq!(monitor.conditions(512).rtt, before, "that answer lay unread");
        monitor.answered(Answered { awaited: false, elapsed: Some(ms(25)), ..answered });
        assert!(monitor.conditions(512).rtt < before, "and still came sooner than expected");
    }

    #[test]
    fn delays_once_said_are_remembered() {
        let mut monitor = DeviceMonitor::new();
        let delay = vec![DelayPoint { rows: 1, delay: ms(4) }];
        monitor.connected(
            None,
            Some(CloudThroughput { delay: delay.clone(), ..CloudThroughput::default() }),
        );
        monitor.answered(Answered {
            throughput: Some(CloudThroughput { verify_wait: ms(9), ..CloudThroughput::default() }),
            ..Answered::default()
        });
        let throughput = monitor.conditions(512).throughput.unwrap();
        assert_eq!((throughput.verify_wait, throughput.delay), (ms(9), delay));
    }

    #[test]
    fn a_rows_bytes_are_those_that_were_sent() {
        let mut monitor = DeviceMonitor::new();
        monitor.sent(1, 480);
        assert_eq!(monitor.conditions(512).row_bytes, 512, "one row's message is not mostly rows");
        monitor.sent(32, 32 * 440);
        assert_eq!(monitor.conditions(512).row_bytes, 440);
    }

    #[test]
    fn tokens_per_second_are_those_of_rounds() {
        let mut monitor = DeviceMonitor::new();
        assert_eq!(monitor.conditions(512).tokens_per_second, None);
        monitor.round(3, ms(30));
        assert!((monitor.conditions(512).tokens_per_second.unwrap() - 100.0).abs() < 1e-6);
    }
}
