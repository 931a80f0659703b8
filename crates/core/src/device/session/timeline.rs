//! Timeline of the appends under way, from when they were sent and what the answers so far tell.

use std::{collections::VecDeque, time::Duration};

use crate::{
    device::pipeline::Pipeline,
    monitor::{AnswerTiming, Conditions},
};

/// The times of a turn's appends, in seconds since it began. The cloud's clock is taken to be
/// behind by the way up, so that what leaves the link is there at once.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    now: f64,
    /// Rows of the appends in flight, and when each was asked for.
    sent: VecDeque<(usize, f64)>,
    /// The append that was answered last.
    answered: Option<(usize, f64)>,
    /// When its last byte had arrived.
    arrived: f64,
    /// When it was computed.
    computed: f64,
}

impl Timeline {
    pub(super) fn set_now(&mut self, now: Duration) {
        self.now = now.as_secs_f64();
    }

    pub(super) fn sent(&mut self, rows: usize) {
        self.sent.push_back((rows, self.now));
    }

    pub(super) fn answered(&mut self) {
        self.answered = self.sent.pop_front();
    }

    /// Where the cloud spent its time on the append answered last. An answer that was not `awaited`
    /// may have lain unread: it says no more than that the append was through by now.
    pub(super) fn timed(&mut self, timing: &AnswerTiming, awaited: bool, conditions: &Conditions) {
        let Some(append) = self.answered.take() else { return };
        let computed = self.now - conditions.rtt.unwrap_or_default().as_secs_f64();
        let arrived = computed - (timing.queue + timing.compute).as_secs_f64();
        let expected = self
            .after([&append], conditions)
            .map(|expected| (expected.sent(), expected.computed()));
        (self.arrived, self.computed) = match expected {
            Some((sent, through)) if !awaited => (arrived.min(sent), computed.min(through)),
            _ => (arrived, computed),
        };
    }

    pub(super) fn forget_sent(&mut self) {
        self.sent.clear();
    }

    /// Device, link and cloud behind what is in flight; `None` where link or cloud are not known.
    pub(super) fn pipeline<'c>(&self, conditions: &'c Conditions) -> Option<Pipeline<'c>> {
        Some(self.after(&self.sent, conditions)?.device_from(self.now))
    }

    fn after<'c, 's>(
        &self,
        sent: impl IntoIterator<Item = &'s (usize, f64)>,
        conditions: &'c Conditions,
    ) -> Option<Pipeline<'c>> {
        let mut pipeline = Pipeline::new(self.arrived, self.computed, conditions)?;
        for &(rows, at) in sent {
            pipeline = pipeline.device_from(at);
            pipeline.chunk(rows);
        }
        Some(pipeline)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::monitor::{CloudThroughput, DelayPoint};

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// A row takes the link 10 ms and a batch 20 ms and 1 ms a row; 6 ms of round trip.
    fn conditions() -> Conditions {
        let point = |rows: usize| DelayPoint { rows, delay: ms(20 + rows as u64) };
        let throughput =
            CloudThroughput { delay: vec![point(1), point(1000)], ..CloudThroughput::default() };
        Conditions {
            row_bytes: 1_000_000,
            uplink: Some(1e8),
            rtt: Some(ms(6)),
            throughput: Some(throughput),
            ..Conditions::default()
        }
    }

    fn ends(timeline: &Timeline) -> (u64, u64) {
        let conditions = conditions();
        let pipeline = timeline.pipeline(&conditions).unwrap();
        ((pipeline.sent() * 1e3).round() as u64, (pipeline.computed() * 1e3).round() as u64)
    }

    #[test]
    fn what_is_under_way_is_followed_from_when_it_was_sent() {
        let mut timeline = Timeline::default();
        timeline.set_now(ms(100));
        timeline.sent(4);
        timeline.set_now(ms(110));
        timeline.sent(2);
        assert_eq!(ends(&timeline), (160, 186));
        timeline.forget_sent();
        assert_eq!(ends(&timeline), (0, 0));
    }

    #[test]
    fn an_answer_says_where_the_rest_is() {
        let mut timeline = Timeline::default();
        timeline.sent(4);
        timeline.sent(2);
        // Arrived at 60 ms, twenty later than expected, and computed at 90.
        timeline.set_now(ms(96));
        timeline.answered();
        let timing = AnswerTiming { queue: ms(4), compute: ms(26), ..AnswerTiming::default() };
        timeline.timed(&timing, true, &conditions());
        assert_eq!(ends(&timeline), (80, 112));
    }

    #[test]
    fn an_answer_that_lay_unread_is_not_taken_for_a_slow_link() {
        let mut timeline = Timeline::default();
        timeline.sent(4);
        timeline.set_now(ms(500));
        timeline.answered();
        let timing = AnswerTiming { compute: ms(24), ..AnswerTiming::default() };
        timeline.timed(&timing, false, &conditions());
        assert_eq!(ends(&timeline), (40, 64));
    }
}
