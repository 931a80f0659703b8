//! Monitor of a cloud: what its batches took, what the next should take, and what devices are told.

use std::time::Duration;

use crate::{AppendKind, Average, CloudThroughput, DelayModel};

/// One in so many batches with rows of prompts may take up to twice the budget. A prime, so that no
/// pattern of whole prompts keeps step.
const LARGER: u64 = 61;
/// A cloud that has computed nothing for so long says nothing of what waited, and with what,
/// before.
const RESTED: Duration = Duration::from_secs(1);

/// Figures of the batches that ran, and what is expected of the next.
#[derive(Debug)]
pub(super) struct CloudMonitor {
    /// Of this stage.
    delay: DelayModel,
    /// The delay through all stages over this stage's.
    through: Average,
    stages: usize,
    prompt_wait: Average,
    verify_wait: Average,
    others: Average,
    /// Rows of a prompt that a batch takes; `None` before the first, and where prompts are not cut.
    prompt_rows: Option<usize>,
    /// Batches with rows of prompts.
    prompting: u64,
    /// When the last batch was done.
    ran: Option<Duration>,
    figures: Figures,
}

/// Counts of what a cloud has computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Batches.
    pub batches: u64,
    /// Rows in them.
    pub rows: u64,
    /// Batches that [overran](Took::overran).
    pub overruns: u64,
}

impl Figures {
    /// One more batch.
    pub(super) fn count(&mut self, rows: usize, overran: bool) {
        self.batches += 1;
        self.rows += u64::try_from(rows).unwrap_or(u64::MAX);
        self.overruns += u64::from(overran);
    }
}

/// What a batch took in one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Took {
    /// From its start to its end.
    pub time: Duration,
    /// Whether that was longer than the speed which the driver emulates allows: the figures of a
    /// benchmark say less then.
    pub overran: bool,
}

/// What a cloud says about itself, for readers beside its scheduler.
#[derive(Clone, Debug, Default)]
pub struct MonitorReport {
    throughput: CloudThroughput,
    /// When the last batch was done.
    ran: Option<Duration>,
    figures: Figures,
}

impl MonitorReport {
    /// What devices are told at `now`; the batch delays only `with_delay`.
    #[must_use]
    pub fn throughput(&self, with_delay: bool, now: Duration) -> CloudThroughput {
        let CloudThroughput {
            prompt_wait,
            verify_wait,
            batch_rows,
            stages,
            prompt_rows,
            ref delay,
        } = self.throughput;
        let delay = if with_delay { delay.clone() } else { Vec::new() };
        if self.ran.is_some_and(|at| now.saturating_sub(at) < RESTED) {
            CloudThroughput { prompt_wait, verify_wait, batch_rows, stages, prompt_rows, delay }
        } else {
            CloudThroughput { stages, delay, ..CloudThroughput::default() }
        }
    }

    /// What was computed so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.figures
    }
}

impl Default for CloudMonitor {
    fn default() -> Self {
        Self {
            delay: DelayModel::default(),
            through: Average::new(),
            stages: 1,
            // Most appends do not wait and some wait long: what counts is the mean.
            prompt_wait: Average::plain(),
            verify_wait: Average::plain(),
            others: Average::plain(),
            prompt_rows: None,
            prompting: 0,
            ran: None,
            figures: Figures::default(),
        }
    }
}

impl CloudMonitor {
    /// What a batch of `rows` rows should take in this stage; `None` before anything was measured.
    pub(super) fn expected(&self, rows: usize) -> Option<Duration> {
        self.delay.at(rows)
    }

    /// A batch of `rows` rows, some of them of prompts or none, is done in this stage.
    pub(super) fn batch(&mut self, rows: usize, prompting: bool, took: Took, now: Duration) {
        self.ran = Some(now);
        self.delay.observe(rows, took.time);
        self.prompting += u64::from(prompting);
        self.figures.count(rows, took.overran);
    }

    /// A batch took so long before any device came.
    pub(super) fn calibrated(&mut self, rows: usize, delay: Duration) {
        self.delay.observe(rows, delay);
    }

    /// A batch that took `own` here took `later` in the stages behind.
    pub(super) fn returned(&mut self, own: Duration, later: Duration) {
        if !own.is_zero() {
            self.through.add((own + later).div_duration_f64(own));
        }
    }

    /// The middle runs in so many stages from now on.
    pub(super) fn set_stages(&mut self, stages: usize) {
        (self.stages, self.through) = (stages, Average::new());
    }

    /// An append was ready to run for `waited`, then ran in a batch with `others` rows of other
    /// sessions.
    pub(super) fn joined(&mut self, kind: AppendKind, waited: Duration, others: usize) {
        let wait = match kind {
            AppendKind::Prompt => &mut self.prompt_wait,
            AppendKind::Verify => &mut self.verify_wait,
        };
        wait.add(waited.as_secs_f64());
        self.others.add(others as f64);
    }

    /// Rows that prompts may fill a batch up to, so that verifications come `target` apart; `None`
    /// before anything was measured.
    ///
    /// A verification waits for the batch that runs in this stage, `g / P`, and then for its own
    /// through all `P`, `g`: so `g = target x P / (P + 1)`. While nobody is `decoding` a batch may
    /// take all of `target`: only who begins to meanwhile waits longer, once. Where even a single
    /// row takes long, batches twice as long are allowed all the same: smaller ones would mean many
    /// more of them, and little gained for each.
    pub(super) fn budget(&self, target: Duration, decoding: bool) -> Option<usize> {
        let share = if decoding { self.stages as f64 / (self.stages as f64 + 1.0) } else { 1.0 };
        let here = scaled(target, share / self.through_all());
        self.delay.rows_within(here.max(self.delay.at(1)?.saturating_mul(2)))
    }

    /// What the next batch makes of a `budget` that gives prompts `quantum` rows anyway: now and
    /// then twice as much. Otherwise a budget that one stalled batch made too small would never be
    /// measured against again.
    pub(super) fn next_budget(&self, budget: usize, quantum: usize) -> usize {
        if self.prompting % LARGER == LARGER - 1 {
            budget.max(quantum).saturating_mul(2)
        } else {
            budget
        }
    }

    /// Prompts may fill batches up to `budget` rows, and get `quantum` of them whatever others
    /// take.
    pub(super) fn cuts(&mut self, budget: usize, quantum: usize) {
        let others = self.others.get().unwrap_or_default().round() as usize;
        self.prompt_rows = Some(budget.saturating_sub(others).max(quantum));
    }

    /// What is told, as it is now.
    pub(super) fn report(&self) -> MonitorReport {
        let value = |average: &Average| average.get().unwrap_or_default();
        let time = |average| Duration::try_from_secs_f64(value(average)).unwrap_or_default();
        let mut delay = self.delay.points();
        let through = self.through_all();
        delay.iter_mut().for_each(|point| point.delay = scaled(point.delay, through));
        let throughput = CloudThroughput {
            prompt_wait: time(&self.prompt_wait),
            verify_wait: time(&self.verify_wait),
            batch_rows: value(&self.others).round() as usize,
            stages: self.stages,
            prompt_rows: self.prompt_rows,
            delay,
        };
        MonitorReport { throughput, ran: self.ran, figures: self.figures }
    }

    /// Stages alike, until one has come back.
    fn through_all(&self) -> f64 {
        self.through.get().unwrap_or(self.stages as f64)
    }
}

/// Saturating.
fn scaled(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn took(count: u64) -> Took {
        Took { time: ms(count), overran: false }
    }

    /// 10 ms and 1 ms a row.
    fn measured() -> CloudMonitor {
        let mut monitor = CloudMonitor::default();
        [1, 8, 64].into_iter().for_each(|rows| monitor.calibrated(rows, ms(10 + rows as u64)));
        monitor
    }

    #[test]
    fn the_budget_is_half_the_target_or_two_batches_of_one_row() {
        assert_eq!(CloudMonitor::default().budget(ms(100), true), None);
        assert_eq!(measured().budget(ms(100), true), Some(40));
        assert_eq!(measured().budget(ms(10), true), Some(12));
    }

    #[test]
    fn while_nobody_decodes_a_batch_may_take_the_whole_target() {
        assert_eq!(measured().budget(ms(50), false), Some(40));
        let mut staged = measured();
        staged.set_stages(2);
        assert_eq!(staged.budget(ms(100), false), Some(40));
    }

    #[test]
    fn devices_are_told_how_prompts_are_cut() {
        let mut monitor = measured();
        monitor.batch(12, false, took(22), ms(22));
        let told = |monitor: &CloudMonitor| monitor.report().throughput(false, ms(30)).prompt_rows;
        assert_eq!(told(&monitor), None);
        monitor.joined(AppendKind::Prompt, ms(0), 8);
        monitor.cuts(40, 16);
        assert_eq!(told(&monitor), Some(32));
        monitor.cuts(20, 16);
        assert_eq!(told(&monitor), Some(16));
    }

    #[test]
    fn a_stalled_sample_does_not_hold_the_budget_down_for_ever() {
        // Either on the way up to the budget or beyond it.
        for stalled in [8, 64, 128] {
            let mut monitor = CloudMonitor::default();
            [1, 8, 64, 128].into_iter().for_each(|rows| {
                monitor.calibrated(rows, ms(if rows == stalled { 5000 } else { 10 + rows as u64 }))
            });
            let target = ms(300);
            assert!(
                monitor.budget(target, true).unwrap() < 70,
                "{stalled}: {:?}",
                monitor.budget(target, true)
            );
            for _ in 0..2000 {
                let rows =
                    monitor.next_budget(monitor.budget(target, true).unwrap(), 16).clamp(16, 512);
                monitor.batch(rows, true, took(10 + rows as u64), ms(0));
            }
            let budget = monitor.budget(target, true).unwrap();
            assert!((120..=160).contains(&budget), "{stalled}: {budget}");
        }
    }

    #[test]
    fn two_stages_share_the_target() {
        let mut monitor = measured();
        monitor.set_stages(2);
        // As if alike: 2/3 of 150 ms for both, 50 ms for each.
        assert_eq!(monitor.budget(ms(150), true), Some(40));
        monitor.returned(ms(10), ms(30));
        assert_eq!(monitor.budget(ms(240), true), Some(30));
        let throughput = monitor.report().throughput(true, ms(0));
        assert_eq!((throughput.stages, throughput.batch_delay(64)), (2, Some(ms(296))));
    }

    #[test]
    fn waits_are_kept_by_kind() {
        let mut monitor = CloudMonitor::default();
        monitor.joined(AppendKind::Prompt, ms(30), 8);
        monitor.joined(AppendKind::Verify, ms(5), 8);
        monitor.batch(12, false, took(20), ms(20));
        let throughput = monitor.report().throughput(false, ms(20));
        assert_eq!(
            (
                throughput.prompt_wait,
                throughput.verify_wait,
                throughput.batch_rows,
                throughput.stages
            ),
            (ms(30), ms(5), 8, 1)
        );
        assert!(throughput.delay.is_empty());
        let later = monitor.report().throughput(false, ms(20) + RESTED);
        assert_eq!(
            (later.prompt_wait, later.verify_wait, later.batch_rows, later.prompt_rows),
            (ms(0), ms(0), 0, None)
        );
    }

    #[test]
    fn figures_add_up() {
        let mut monitor = measured();
        monitor.batch(4, true, took(14), ms(14));
        monitor.batch(2, false, Took { overran: true, ..took(50) }, ms(64));
        assert_eq!(monitor.report().figures(), Figures { batches: 2, rows: 6, overruns: 1 });
    }
}
