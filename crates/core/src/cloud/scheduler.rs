//! Scheduler of a cloud: chooses what runs next and says which answers a batch gives.

use std::{collections::BTreeMap, time::Duration};

use super::{
    answer::AnswerPart,
    arrival::Arrival,
    batch::{BatchLimits, Schedule, choose_batch},
    error::AppendError,
    in_flight::{FormedBatch, InFlightBatch, Member},
    later::{HandOver, LaterStages},
    monitor::{CloudMonitor, MonitorReport, Took},
    slot::Slot,
};
use crate::{AppendHeader, SessionLimits};

/// Rows that prompts get in a batch where they wait at all, so that verifications cannot keep them
/// out.
const QUANTUM: usize = 16;
/// A session whose last verification came so many times the target between two ago is not decoding
/// any more.
const DECODING: u32 = 10;

/// Settings of a scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// How prompts share a batch with verifications.
    pub schedule: Schedule,
    /// Most rows in one batch; see [`BatchLimits::max_rows`].
    pub max_batch_rows: usize,
    /// The time between two verifications of a session that batches should allow for.
    pub tbt_target: Duration,
}

/// Reason why a session is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenRefused {
    /// The scheduler is draining.
    #[error("this cloud is shutting down")]
    Draining,
    /// A later stage cannot be reached.
    #[error("a later stage of the middle is gone")]
    StageLost,
}

/// The scheduler: all that a cloud decides about its sessions' rows, without the rows.
///
/// A driver owns the model, the KV caches and the clock. It reports what sessions do, with times as
/// durations since an origin that it chooses, and while [`has_work`](Self::has_work) it runs
/// batches:
///
/// 1. [`form`](Self::form) chooses the sessions and rows of a batch.
/// 2. [`FormedBatch::admit`] hands them to the driver, which makes room in their KV caches and
///    copies their rows. A session without memory for them takes no part; the driver reports its
///    [end](Self::end).
/// 3. The driver runs the batch and reports what it took: [`computed`](Self::computed).
/// 4. Where stages follow, the batch is [handed over](Self::hand_over), and is
///    [back](Self::returned) later.
/// 5. For every member, [`answer`](Self::answer) says which rows answer what. When the model or a
///    later stage could not compute a member's rows, the driver reports the session's end instead.
///
/// `P` is what the driver needs to find an append's rows again; pieces of one append share clones.
///
/// ```
/// use std::time::Duration;
/// use tricorn_core::{
///     AppendHeader, AppendKind, Arrival, Schedule, Scheduler, SchedulerConfig, SessionLimits,
///     Took, Want,
/// };
///
/// let mut scheduler = Scheduler::new(SchedulerConfig {
///     schedule: Schedule::Chunked,
///     max_batch_rows: 512,
///     tbt_target: Duration::from_millis(100),
/// });
/// let ms = Duration::from_millis;
/// let limits = SessionLimits { context: 64, max_append_rows: 16, max_queued_rows: 32 };
/// scheduler.open(1, limits, ms(0))?;
/// let header =
///     AppendHeader { epoch: 0, pos: 0, rows: 3, want: Want::Last, kind: AppendKind::Prompt };
/// let arrival = Arrival { at: ms(5), received: None };
/// scheduler.append(1, header, "three rows", arrival)?;
///
/// let mut batch = scheduler.form(ms(7)).admit(|member| member.rows() == 3);
/// scheduler.computed(&mut batch, Took { time: ms(2), overran: false }, ms(9));
/// let parts = scheduler.answer(&batch, &batch.members()[0], ms(9));
/// let answer = parts[0].answer.unwrap();
/// assert_eq!((answer.header, answer.timing.queue), (header.answer(), ms(2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Scheduler<P> {
    config: SchedulerConfig,
    slots: BTreeMap<u64, Slot<P>>,
    later: LaterStages<InFlightBatch>,
    monitor: CloudMonitor,
    tickets: u64,
    draining: bool,
}

impl<P: Clone> Scheduler<P> {
    /// No session, in a middle of one stage, about which nothing is known yet.
    #[must_use]
    pub fn new(config: SchedulerConfig) -> Self {
        Self {
            config,
            slots: BTreeMap::new(),
            later: LaterStages::none(),
            monitor: CloudMonitor::default(),
            tickets: 0,
            draining: false,
        }
    }

    /// A batch of `rows` rows took `delay` before any session came.
    pub fn calibrated(&mut self, rows: usize, delay: Duration) {
        self.monitor.calibrated(rows, delay);
    }

    /// A session comes.
    ///
    /// # Errors
    /// When no session can be served for now; it is not there then.
    pub fn open(
        &mut self,
        session: u64,
        limits: SessionLimits,
        now: Duration,
    ) -> Result<(), OpenRefused> {
        if self.draining {
            return Err(OpenRefused::Draining);
        }
        if self.later.are_lost() {
            return Err(OpenRefused::StageLost);
        }
        self.slots.insert(session, Slot::new(limits, self.stages(), now));
        Ok(())
    }

    /// An append arrives. While draining, and of a session that is not there, it is ignored.
    ///
    /// # Errors
    /// When the device broke a limit or left a gap; the session has ended then.
    pub fn append(
        &mut self,
        session: u64,
        header: AppendHeader,
        rows: P,
        arrival: Arrival,
    ) -> Result<(), AppendError> {
        let Some(slot) = self.slots.get_mut(&session).filter(|_| !self.draining) else {
            return Ok(());
        };
        let ticket = self.tickets;
        self.tickets += 1;
        let admitted = slot.accept(header, rows, arrival, ticket);
        admitted.map(|_| ()).inspect_err(|_| self.end(session))
    }

    /// A session ends, for whatever reason: nothing more is answered.
    pub fn end(&mut self, session: u64) {
        if self.slots.remove(&session).is_some_and(|slot| slot.has_started()) {
            self.later.forget(session);
        }
    }

    /// From now on nothing is accepted. What was accepted before is still answered.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Ends the sessions that await no answer, and names them, once the scheduler
    /// [drains](Self::drain); before that nobody.
    pub fn end_the_answered(&mut self) -> Vec<u64> {
        let answered = |slot: &Slot<P>| self.draining && !slot.is_busy();
        let ended: Vec<u64> =
            self.slots.iter().filter(|(_, slot)| answered(slot)).map(|(&id, _)| id).collect();
        ended.iter().for_each(|id| drop(self.slots.remove(id)));
        ended
    }

    /// Whether it drains and every session has ended.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.draining && self.slots.is_empty()
    }

    /// The next stage can be reached: `stages` stages follow, and `window` batches may be out with
    /// them at a time. Every session that was there has ended, since its rows are not there.
    pub fn stage_connected(&mut self, stages: usize, window: usize) {
        self.slots.clear();
        self.later.connect(stages, window);
        self.monitor.set_stages(self.stages());
    }

    /// The next stage is lost. Every session has ended: without the rows there none can go on.
    pub fn stage_lost(&mut self) {
        self.slots.clear();
        self.later.lose();
        self.monitor.set_stages(self.stages());
    }

    /// Whether a batch should be formed now.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.later.take_another()
            && (self.later.want_news()
                || self.slots.values().any(|slot| slot.candidate().is_some()))
    }

    /// Chooses what runs now. Empty where a later stage is only to be told of ended sessions.
    pub fn form(&mut self, now: Duration) -> FormedBatch<P> {
        let limits = self.limits(now);
        let (candidates, mut ready): (Vec<_>, Vec<_>) = self
            .slots
            .iter_mut()
            .filter_map(|(&id, slot)| Some((slot.candidate()?, Some((id, slot)))))
            .unzip();
        let members = choose_batch(&candidates, &limits).into_iter().filter_map(|share| {
            let (id, slot) = ready.get_mut(share.index)?.take()?;
            slot.start(id, share.rows, now)
        });
        FormedBatch { start: now, budget: limits.budget, members: members.collect() }
    }

    /// What a batch of `rows` rows should take in this stage; `None` before anything was measured.
    #[must_use]
    pub fn expected(&self, rows: usize) -> Option<Duration> {
        self.monitor.expected(rows)
    }

    /// The model has run `batch`, or failed to. A batch without rows did not have to run.
    pub fn computed(&mut self, batch: &mut InFlightBatch, took: Took, now: Duration) {
        batch.computed(now);
        if batch.rows() > 0 {
            self.monitor.batch(batch.rows(), batch.is_prompting(), took, now);
            batch.begun().for_each(|(kind, waited, others)| {
                self.monitor.joined(kind, waited, others);
            });
        }
    }

    /// Hands a batch over to the next stage; `None` when there is no way to it. No session of the
    /// batch may [end](Self::end) between [`form`](Self::form) and this: the next stage would keep
    /// a place for it.
    pub fn hand_over(&mut self, batch: InFlightBatch) -> Option<HandOver> {
        self.later.hand_over(batch)
    }

    /// The batch `number` is back from the later stages, where it waited for others for `queue`;
    /// `None` when nobody wants to know any more.
    pub fn returned(
        &mut self,
        number: u64,
        queue: Duration,
        now: Duration,
    ) -> Option<InFlightBatch> {
        let batch = self.later.returned(number)?;
        if !batch.members().is_empty() {
            // With the ways there and back, and without the waits for batches before it: those the
            // pipeline hides.
            let since = now.saturating_sub(batch.start());
            self.monitor
                .returned(batch.own(), since.saturating_sub(batch.own()).saturating_sub(queue));
        }
        Some(batch)
    }

    /// The rows of `member` of `batch` are through the whole middle: what they add to the answers
    /// of which appends, in order. Nothing when the session has ended.
    pub fn answer(
        &mut self,
        batch: &InFlightBatch,
        member: &Member,
        now: Duration,
    ) -> Vec<AnswerPart> {
        let slot = self.slots.get_mut(&member.session());
        slot.map(|slot| slot.done(batch, member, now)).unwrap_or_default()
    }

    /// Whether this is not the middle's last stage.
    #[must_use]
    pub fn has_later_stages(&self) -> bool {
        self.later.exist()
    }

    /// What devices may be told.
    #[must_use]
    pub fn report(&self) -> MonitorReport {
        self.monitor.report()
    }

    fn stages(&self) -> usize {
        1 + self.later.count()
    }

    fn limits(&mut self, now: Duration) -> BatchLimits {
        let SchedulerConfig { schedule, max_batch_rows, tbt_target } = self.config;
        let quantum = QUANTUM.min(max_batch_rows);
        let recently = tbt_target.saturating_mul(DECODING);
        let decoding = self.slots.values().any(|slot| slot.is_decoding(now, recently));
        let budget = match (schedule, self.monitor.budget(tbt_target, decoding)) {
            (Schedule::Chunked, Some(budget)) => {
                self.monitor.cuts(budget.min(max_batch_rows), quantum);
                self.monitor.next_budget(budget, quantum)
            }
            (Schedule::Whole, _) | (_, None) => max_batch_rows,
        };
        BatchLimits { schedule, budget, quantum, max_rows: max_batch_rows }
    }
}

#[cfg(test)]
mod tests;
