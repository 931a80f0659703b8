//! Driver of the first stage: the one task that runs what the core's scheduler decides and puts the
//! answers into the devices' outboxes.

mod sessions;

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::mpsc, task::yield_now};
use tracing::{debug, info};
use tricorn_core::{
    AppendHeader, Arrival, InFlightBatch, Member, OpenRefused, Scheduler, SchedulerConfig,
    StageEntry,
};
use tricorn_wire::{Downlink, ErrorCode, Failure};

use crate::{
    CloudConfig,
    command::{AppendRows, Command, NewSession},
    downstream::{Downstream, StageAnswer, StageBatch, StageLost},
    executor::Executor,
    failures::{append_failure, panic_message, shutting_down, stage_failure},
    load::LoadGauge,
    middle::MiddleModel,
};
use sessions::{DeviceSessions, Unanswered};

pub(crate) struct Driver<M: MiddleModel> {
    executor: Executor<M>,
    scheduler: Scheduler<Arc<AppendRows>>,
    sessions: DeviceSessions,
    commands: mpsc::Receiver<Command>,
    load: Arc<LoadGauge>,
    /// The hidden rows of the batch that runs.
    x: Vec<f32>,
}

impl<M: MiddleModel> Driver<M> {
    /// With `calibrated`, the delays of batches by their rows. [`Command::Next`] tells of another
    /// connection to the next stage than the executor has.
    pub(crate) fn new(
        config: &CloudConfig,
        executor: Executor<M>,
        calibrated: Vec<(usize, Duration)>,
        commands: mpsc::Receiver<Command>,
        load: Arc<LoadGauge>,
    ) -> Self {
        let mut scheduler = Scheduler::new(SchedulerConfig {
            schedule: config.schedule,
            max_batch_rows: config.batch_rows,
            tbt_target: config.tbt_target,
        });
        for (rows, delay) in calibrated {
            scheduler.calibrated(rows, delay);
        }
        if let Some(next) = executor.next() {
            scheduler.stage_connected(next.stages(), next.window());
        }
        load.publish(scheduler.report());
        let sessions = DeviceSessions::new(executor.hidden(), Arc::clone(&load));
        Self { executor, scheduler, sessions, commands, load, x: Vec::new() }
    }

    /// Runs until it is drained or nobody can send commands any more.
    ///
    /// # Errors
    /// What the model said when it panicked. Every session has then been told.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let outcome = self.serve().await;
        let (code, message) = match &outcome {
            Ok(()) => (ErrorCode::Shutdown, "the cloud has shut down; reconnect elsewhere"),
            Err(_) => (ErrorCode::Internal, "the cloud's model failed; reconnect elsewhere"),
        };
        self.sessions.end_all(&Failure { code, message: message.to_owned() });
        outcome
    }

    async fn serve(&mut self) -> Result<(), String> {
        loop {
            let command = match self.scheduler.has_work() {
                true => None,
                false => match self.commands.recv().await {
                    Some(command) => Some(command),
                    None => return Ok(()),
                },
            };
            // The model may panic wherever it is called: for a new session's cache as well as for a
            // batch.
            let round = AssertUnwindSafe(|| {
                command.into_iter().for_each(|command| self.handle(command));
                self.handle_arrived();
                if self.scheduler.has_work() {
                    self.run_batch();
                }
            });
            catch_unwind(round).map_err(panic_message)?;
            for id in self.scheduler.end_the_answered() {
                self.end(id, None);
            }
            if self.scheduler.is_drained() {
                return Ok(());
            }
            // The streams' tasks, which may well wait for this thread, send what was computed.
            yield_now().await;
        }
    }

    fn handle_arrived(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            self.handle(command);
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Open(new) => self.open(new),
            Command::Append { session, header, rows, arrival } => {
                self.append(session, header, rows, arrival)
            }
            Command::Close { session } => self.end(session, None),
            Command::Drain => self.drain(),
            Command::Next(next) => self.change_next(next),
            Command::Returned(answer) => self.returned(answer),
        }
    }

    fn open(&mut self, new: NewSession) {
        let failure = match self.scheduler.open(new.id, new.limits, self.executor.now()) {
            Ok(()) => {
                self.executor.open(new.id, new.limits.context);
                return self.sessions.open(new);
            }
            Err(OpenRefused::Draining) => shutting_down(),
            Err(OpenRefused::StageLost) => self.executor.next_failure(),
        };
        new.outbox.end(Some(failure));
    }

    fn append(&mut self, id: u64, header: AppendHeader, rows: AppendRows, arrival: Arrival) {
        if let Err(error) = self.scheduler.append(id, header, Arc::new(rows), arrival) {
            self.end(id, Some(append_failure(&error)));
        }
    }

    /// Ends a session everywhere. Its device is told, unless its outbox has ended before.
    fn end(&mut self, id: u64, failure: Option<Failure>) {
        self.scheduler.end(id);
        self.executor.close(id);
        self.sessions.end(id, failure);
    }

    fn drain(&mut self) {
        self.scheduler.drain();
        for id in self.sessions.ids() {
            let sent = self.sessions.send(id, Downlink::Drain);
            self.end_unanswered(id, sent);
        }
    }

    fn end_unanswered(&mut self, id: u64, sent: Result<(), Unanswered>) {
        match sent {
            Ok(()) => {}
            Err(Unanswered::Over) => self.end(id, None),
            Err(Unanswered::Failed(failure)) => self.end(id, Some(failure)),
        }
    }

    /// Goes on over a new connection, or ends every session: without a later stage's rows none can
    /// go on.
    fn change_next(&mut self, next: Result<Box<dyn Downstream>, StageLost>) {
        let lost = next.as_ref().err().cloned();
        match &next {
            Ok(stage) => {
                info!(stages = stage.stages(), "next stage found");
                self.scheduler.stage_connected(stage.stages(), stage.window());
            }
            Err(StageLost(reason)) => {
                info!(reason, "next stage lost");
                self.scheduler.stage_lost();
            }
        }
        self.executor.change_next(next);
        self.load.publish(self.scheduler.report());
        let why =
            lost.clone().unwrap_or_else(|| StageLost("its connection is a new one".to_owned()));
        self.sessions.end_all(&stage_failure(&why));
        self.load.set_stage_lost(lost);
    }

    /// One batch: formed and run, then answered or handed to the next stage.
    fn run_batch(&mut self) {
        let (mut batch, refused) = self.form();
        let entries: Vec<StageEntry> = batch.entries().collect();
        let expected = self.scheduler.expected(batch.rows());
        let computed = self.executor.run(&entries, &mut self.x, expected);
        refused.into_iter().for_each(|(id, failure)| self.end(id, Some(failure)));
        self.scheduler.computed(&mut batch, computed.took, self.executor.now());
        self.load.publish(self.scheduler.report());
        debug!(
            rows = batch.rows(),
            members = entries.len(),
            milliseconds = computed.took.time.as_secs_f64() * 1e3,
            budget = batch.budget(),
            "batch"
        );
        match computed.outcome {
            Ok(()) if self.scheduler.has_later_stages() => self.hand_over(batch),
            Ok(()) => {
                // What the devices said meanwhile comes first: it may make an answer stale, and
                // spare it the way.
                self.handle_arrived();
                self.answer_here(&batch);
            }
            Err(message) => {
                let failure = Failure { code: ErrorCode::Internal, message };
                for member in batch.members() {
                    self.end(member.session(), Some(failure.clone()));
                }
            }
        }
    }

    /// What runs now, its rows in `x`, and the sessions that there is no memory for.
    fn form(&mut self) -> (InFlightBatch, Vec<(u64, Failure)>) {
        let formed = self.scheduler.form(self.executor.now());
        self.load.publish(self.scheduler.report());
        let (hidden, executor, x) = (self.executor.hidden(), &mut self.executor, &mut self.x);
        let mut refused = Vec::new();
        x.clear();
        let batch = formed.admit(|member| {
            let prepared = executor.prepare(member.session(), member.pos(), member.rows());
            if let Err(message) = prepared {
                refused.push((member.session(), Failure { code: ErrorCode::Busy, message }));
                return false;
            }
            for (append, rows) in member.pieces() {
                x.extend_from_slice(&append.values[rows.start * hidden..rows.end * hidden]);
            }
            true
        });
        (batch, refused)
    }

    fn hand_over(&mut self, batch: InFlightBatch) {
        let entries = batch.entries().collect();
        let Some(handed) = self.scheduler.hand_over(batch) else { return };
        let x = mem::take(&mut self.x);
        let batch = StageBatch { id: handed.number, entries, x, closed: handed.closed };
        if let Err(lost) = self.executor.send_on(batch) {
            self.change_next(Err(lost));
        }
    }

    /// A batch is through all stages.
    fn returned(&mut self, answer: StageAnswer) {
        let StageAnswer { id, rows, failed, queue, .. } = answer;
        let Some(batch) = self.scheduler.returned(id, queue, self.executor.now()) else { return };
        self.load.publish(self.scheduler.report());
        for (session, failure) in &failed {
            self.end(*session, Some(failure.clone()));
        }
        let hidden = self.executor.hidden();
        let mut rest = rows.as_slice();
        for member in batch.members() {
            if failed.iter().any(|(session, _)| *session == member.session()) {
                continue;
            }
            let Some((own, behind)) = rest.split_at_checked(member.answer_rows().len() * hidden)
            else {
                let reason = "it answered with fewer rows than were asked for".to_owned();
                return self.change_next(Err(StageLost(reason)));
            };
            rest = behind;
            self.answer(&batch, member, own);
        }
    }

    /// Answers a batch whose deep rows lie in `x`: there is no later stage.
    fn answer_here(&mut self, batch: &InFlightBatch) {
        let x = mem::take(&mut self.x);
        let hidden = self.executor.hidden();
        for member in batch.members() {
            let rows = member.answer_rows();
            self.answer(batch, member, &x[rows.start * hidden..rows.end * hidden]);
        }
        self.x = x;
    }

    /// Answers the appends that end in `member`'s share of `batch`; `rows` are its
    /// [answer rows](Member::answer_rows).
    fn answer(&mut self, batch: &InFlightBatch, member: &Member, rows: &[f32]) {
        let id = member.session();
        for part in self.scheduler.answer(batch, member, self.executor.now()) {
            let sent = self.sessions.answer(id, &part, rows);
            let over = sent.is_err();
            self.end_unanswered(id, sent);
            if over {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
