//! Pipeline of device, link and cloud: when chunks that follow each other are through.

use crate::monitor::Conditions;

/// Stages that are told apart at most.
const MOST_STAGES: usize = 16;
/// A cloud that says it takes fewer rows of a prompt at once is taken to say this; it bounds what a
/// prediction costs.
const LEAST_TAKEN: usize = 16;

/// Device, link and cloud as one pipeline, with the time at which each is free; seconds from any
/// moment, the same for all.
///
/// A chunk of `x` rows takes the device `shallow(x)`, then the link `x A / beta` (`A` bytes a row,
/// `beta` bytes a second). What arrives while the cloud has the session's batch before runs in one
/// batch of `n` rows, `w` after it could, which takes `g(mu + n)` through all `P` stages; the next
/// may start `g(mu + n) / P` after it. Of more rows than the cloud takes at once, the rest runs in
/// the batch after. Nothing is expected to join in the wait: it is a mean, and often there is none.
/// Delays that are the same for every chunk are left out.
#[derive(Clone, Copy, Debug)]
pub struct Pipeline<'c> {
    conditions: &'c Conditions,
    /// `w`.
    wait: f64,
    /// `P`.
    stages: f64,
    /// Rows of a prompt that a batch takes.
    taken: usize,
    device: f64,
    link: f64,
    /// When the first stage can take another batch.
    cloud: f64,
    /// When all before the waiting rows are computed.
    end: f64,
    /// What arrives by then joins the waiting rows.
    closes: f64,
    /// When a batch of them starts.
    start: f64,
    /// Rows that wait in the cloud.
    rows: usize,
}

impl<'c> Pipeline<'c> {
    /// One whose link is free at `link` and whose cloud at `cloud`; the device at 0. `None` where
    /// link or cloud are not known.
    #[must_use]
    pub fn new(link: f64, cloud: f64, conditions: &'c Conditions) -> Option<Self> {
        conditions.send_seconds(1)?;
        conditions.batch_seconds(1)?;
        let throughput = conditions.throughput.as_ref()?;
        let wait = throughput.prompt_wait.as_secs_f64();
        let stages = throughput.stages.clamp(1, MOST_STAGES) as f64;
        let taken = throughput.prompt_rows.map_or(usize::MAX, |rows| rows.max(LEAST_TAKEN));
        Some(Self {
            conditions,
            wait,
            stages,
            taken,
            device: 0.0,
            link,
            cloud,
            end: cloud,
            closes: cloud,
            start: cloud,
            rows: 0,
        })
    }

    /// The device does nothing for the chunks to come before `at`.
    #[must_use]
    pub fn device_from(self, at: f64) -> Self {
        Self { device: at, ..self }
    }

    /// A chunk of `rows` rows goes through, behind those before it.
    pub fn chunk(&mut self, rows: usize) {
        self.step(rows, self.shallow(rows), self.send(rows));
    }

    /// When the link has sent the last chunk.
    #[must_use]
    pub fn sent(&self) -> f64 {
        self.link
    }

    /// When the cloud has computed the last chunk.
    #[must_use]
    pub fn computed(mut self) -> f64 {
        while self.rows > 0 {
            self.run();
        }
        self.end
    }

    /// When the cloud has computed `left` rows more, cut into a chunk of `first`, then chunks of
    /// `rest`, of which the last may be smaller.
    #[must_use]
    pub fn computed_after(mut self, left: usize, first: usize, rest: usize) -> f64 {
        let (first, rest) = (first.min(left), rest.max(1));
        if first > 0 {
            self.chunk(first);
        }
        let left = left - first;
        let (shallow, send) = (self.shallow(rest), self.send(rest));
        for _ in 0..left / rest {
            self.step(rest, shallow, send);
        }
        let last = left % rest;
        if last > 0 {
            self.chunk(last);
        }
        self.computed()
    }

    fn step(&mut self, rows: usize, shallow: f64, send: f64) {
        self.device += shallow;
        self.link = self.device.max(self.link) + send;
        while self.rows > 0 && self.link > self.closes {
            self.run();
        }
        if self.rows == 0 {
            self.closes = self.cloud.max(self.link);
            self.start = self.closes + self.wait;
        }
        self.rows += rows;
    }

    /// A batch of the waiting rows runs. What it leaves has had its wait, and is joined by what
    /// arrives until the next.
    fn run(&mut self) {
        let rows = self.rows.min(self.taken);
        let batch = self.conditions.batch_seconds(rows).unwrap_or_default();
        self.end = (self.end + batch / self.stages).max(self.start + batch);
        self.cloud = self.start + batch / self.stages;
        (self.closes, self.start) = (self.cloud, self.cloud);
        self.rows -= rows;
    }

    fn send(&self, rows: usize) -> f64 {
        self.conditions.send_seconds(rows).unwrap_or_default()
    }

    fn shallow(&self, rows: usize) -> f64 {
        self.conditions.shallow.map_or(0.0, |cost| cost.of(rows).as_secs_f64())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::monitor::{CloudThroughput, Cost, DelayPoint};

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// A row takes the device 1 ms, the link 10 ms and a batch 20 ms and 1 ms a row; 5 ms of wait.
    fn conditions(stages: usize) -> Conditions {
        let point = |rows: usize| DelayPoint { rows, delay: ms(20 + rows as u64) };
        let throughput = CloudThroughput {
            prompt_wait: ms(5),
            stages,
            delay: vec![point(1), point(1000)],
            ..CloudThroughput::default()
        };
        Conditions {
            row_bytes: 1_000_000,
            uplink: Some(1e8),
            throughput: Some(throughput),
            shallow: Some(Cost { base: ms(0), per_row: ms(1) }),
            ..Conditions::default()
        }
    }

    /// Within what a message adds to its rows.
    fn near(seconds: f64, expected: u64) {
        assert!((seconds - ms(expected).as_secs_f64()).abs() < 1e-4, "{seconds} {expected} ms");
    }

    #[test]
    fn a_chunk_goes_through_one_after_the_other() {
        let conditions = conditions(1);
        let mut pipeline = Pipeline::new(0.0, 0.0, &conditions).unwrap();
        pipeline.chunk(4);
        near(pipeline.sent(), 4 + 40);
        near(pipeline.computed(), 44 + 5 + 24);
        // The link is busy for longer than the device, the cloud for less than the link.
        pipeline.chunk(6);
        near(pipeline.sent(), 44 + 60);
        near(pipeline.computed(), 104 + 5 + 26);
        near(Pipeline::new(0.0, 0.0, &conditions).unwrap().computed_after(10, 4, 6), 135);
    }

    #[test]
    fn what_arrives_while_the_cloud_is_busy_runs_together() {
        let conditions = conditions(1);
        let busy = Pipeline::new(0.0, 0.1, &conditions).unwrap();
        near(busy.computed_after(3, 1, 1), 100 + 5 + 23);
        // Nine rows arrive by 91 ms, the others at 101 and 111 while those run.
        near(busy.computed_after(11, 1, 1), (100 + 5 + 29) + 5 + 22);
    }

    #[test]
    fn what_a_batch_does_not_take_runs_in_the_next() {
        let mut conditions = conditions(1);
        conditions.throughput.as_mut().unwrap().prompt_rows = Some(20);
        let mut pipeline = Pipeline::new(0.0, 0.0, &conditions).unwrap();
        pipeline.chunk(24);
        near(pipeline.computed(), 264 + 5 + 40 + 24);
        // Arrives at 304, while the first batch runs, and joins the four that it left.
        pipeline.chunk(4);
        near(pipeline.computed(), 264 + 5 + 40 + 28);
    }

    #[test]
    fn stages_take_batches_before_others_are_through() {
        let conditions = conditions(5);
        let busy = Pipeline::new(0.0, 0.0, &conditions).unwrap();
        // 11 to 16, 16 + 21 at the end; the first stage is free at 16 + 4.2, before the next row
        // arrives.
        near(busy.computed_after(2, 1, 1), 21 + 5 + 21);
    }

    #[test]
    fn a_device_that_begins_late_holds_up_the_rest() {
        let conditions = conditions(1);
        let pipeline = Pipeline::new(0.0, 0.0, &conditions).unwrap().device_from(0.5);
        near(pipeline.computed_after(4, 4, 4), 500 + 73);
        assert!(Pipeline::new(0.0, 0.0, &Conditions::default()).is_none());
    }
}
