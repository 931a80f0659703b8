//! Worker of a later stage: the one task that runs what the core's stage scheduler decides, for
//! every upstream.

use std::{
    collections::BTreeMap,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::yield_now,
};
use tracing::{debug, info};
use tricorn_core::{
    Admitted, Figures, HandOver, InFlightJob, StageEntry, StageJob, StageScheduler, StartedJob,
};
use tricorn_wire::{ErrorCode, Failure, StageDone, StageDown, StageOpened};

use super::{next::not_finite, replies::Replies};
use crate::{
    downstream::{Downstream, NextEvent, StageAnswer, StageBatch, StageLost},
    executor::Executor,
    failures::{
        entry_failure, memory_failure, model_failure, panic_message, shutting_down, stage_failure,
    },
    middle::MiddleModel,
};

/// What the upstreams' tasks and the next stage tell the worker. An upstream is known by its lane.
#[derive(Debug)]
pub(crate) enum Command {
    Open { lane: u64, context: usize, max_sessions: usize, replies: Replies },
    Batch(Job),
    Close { lane: u64, failure: Option<Failure> },
    Next(NextEvent),
    Drain,
}

impl From<NextEvent> for Command {
    fn from(event: NextEvent) -> Self {
        Self::Next(event)
    }
}

/// A batch that has arrived.
pub(crate) type Job = StageJob<JobRows>;

/// A batch that runs here or behind.
type Running = InFlightJob<JobRows>;

/// What the worker needs with a batch.
#[derive(Debug)]
pub(crate) struct JobRows {
    /// The entries' rows one after the other, row-major.
    pub(crate) x: Vec<f32>,
    /// Sessions that could not be computed so far.
    pub(crate) failed: Vec<(u64, Failure)>,
    /// Dropped when the batch is answered: so many may wait.
    pub(crate) _permit: OwnedSemaphorePermit,
}

pub(crate) struct Worker<M: MiddleModel> {
    executor: Executor<M>,
    scheduler: StageScheduler<JobRows>,
    /// The ways back to the upstreams, by lane.
    upstreams: BTreeMap<u64, Replies>,
    commands: mpsc::Receiver<Command>,
    /// Where the layers here end; those of the last stage when there is a next.
    end_layer: usize,
}

impl<M: MiddleModel> Worker<M> {
    pub(crate) fn new(
        executor: Executor<M>,
        commands: mpsc::Receiver<Command>,
        end_layer: usize,
    ) -> Self {
        let mut scheduler = StageScheduler::new();
        if let Some(next) = executor.next() {
            scheduler.stage_connected(next.stages(), next.window());
        }
        Self { executor, scheduler, upstreams: BTreeMap::new(), commands, end_layer }
    }

    /// Runs until it is told to stop or nobody can send commands any more; what was computed.
    ///
    /// # Errors
    /// What the model said when it panicked. Every upstream has then been told.
    pub(crate) async fn run(mut self) -> Result<Figures, String> {
        let outcome = self.serve().await;
        let failure = match &outcome {
            Ok(()) => shutting_down(),
            Err(_) => Failure {
                code: ErrorCode::Internal,
                message: "a later stage's model failed; reconnect and replay".to_owned(),
            },
        };
        self.end_upstreams(&failure);
        outcome.map(|()| self.scheduler.figures())
    }

    async fn serve(&mut self) -> Result<(), String> {
        loop {
            let command = match self.scheduler.has_work() {
                true => self.commands.try_recv().ok(),
                false => match self.commands.recv().await {
                    Some(command) => Some(command),
                    None => return Ok(()),
                },
            };
            if matches!(command, Some(Command::Drain)) {
                return Ok(());
            }
            let round = AssertUnwindSafe(|| {
                match command {
                    Some(command) => self.handle(command),
                    None => self.run_batch(),
                }
                if let Some(news) = self.scheduler.news() {
                    self.send_on(news, Vec::new(), Vec::new());
                }
            });
            catch_unwind(round).map_err(panic_message)?;
            yield_now().await;
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Open { lane, context, max_sessions, replies } => {
                self.open(lane, context, max_sessions, replies)
            }
            Command::Batch(job) => self.scheduler.push(job),
            Command::Close { lane, failure } => self.close(lane, failure),
            Command::Next(NextEvent::Answer(answer)) => self.returned(answer),
            Command::Next(NextEvent::Connection(next)) => self.change_next(next),
            // Ends the loop before it gets here.
            Command::Drain => {}
        }
    }

    fn open(&mut self, lane: u64, context: usize, max_sessions: usize, mut replies: Replies) {
        match self.scheduler.open(lane, context, max_sessions) {
            Some(stages) => {
                let end_layer = self.end_layer;
                replies.send(StageDown::Opened(StageOpened { stages, end_layer }));
                self.upstreams.insert(lane, replies);
            }
            None => replies.end(self.executor.next_failure()),
        }
    }

    fn close(&mut self, lane: u64, failure: Option<Failure>) {
        for name in self.scheduler.close(lane) {
            self.executor.close(name);
        }
        let replies = self.upstreams.remove(&lane);
        if let Some((replies, failure)) = replies.zip(failure) {
            replies.end(failure);
        }
    }

    /// After a loss nobody's rows are there any more: every upstream begins again.
    fn change_next(&mut self, next: Result<Box<dyn Downstream>, StageLost>) {
        match &next {
            Ok(stage) => {
                info!(stages = stage.stages(), "next stage found");
                self.scheduler.stage_connected(stage.stages(), stage.window());
                let renewed = StageLost("its connection is a new one".to_owned());
                self.end_upstreams(&stage_failure(&renewed));
            }
            Err(lost) => {
                info!(reason = lost.0, "next stage lost");
                self.scheduler.stage_lost();
                self.end_upstreams(&stage_failure(lost));
            }
        }
        self.executor.change_next(next);
    }

    fn end_upstreams(&mut self, failure: &Failure) {
        for replies in mem::take(&mut self.upstreams).into_values() {
            replies.end(failure.clone());
        }
    }

    fn end_session(&mut self, lane: u64, session: u64) {
        if let Some(name) = self.scheduler.end(lane, session) {
            self.executor.close(name);
        }
    }

    /// One batch: run, then sent on or answered.
    fn run_batch(&mut self) {
        let now = self.executor.now();
        let Some(StartedJob { mut job, entries, ended }) = self.scheduler.start(now) else {
            return;
        };
        ended.into_iter().for_each(|name| self.executor.close(name));
        self.admit(&mut job, entries);
        let onward: Vec<StageEntry> = job.entries_onward().collect();
        let expected = self.scheduler.expected(job.rows());
        let computed = self.executor.run(&onward, &mut job.payload.x, expected);
        self.scheduler.computed(&mut job, computed.took);
        debug!(
            rows = job.rows(),
            members = job.entries.len(),
            milliseconds = computed.took.time.as_secs_f64() * 1e3,
            "batch"
        );
        if let Err(message) = computed.outcome {
            let failure = model_failure(&message);
            job.payload.x.clear();
            for (entry, _) in mem::take(&mut job.entries) {
                self.fail(&mut job, entry.session, failure.clone());
            }
        }
        if self.scheduler.has_later_stages() {
            self.hand_over(job);
        } else {
            let rows = self.answer_rows(&mut job);
            self.reply(job, &rows);
        }
    }

    /// A session of `job` cannot be computed.
    fn fail(&mut self, job: &mut Running, session: u64, failure: Failure) {
        self.end_session(job.lane, session);
        job.payload.failed.push((session, failure));
    }

    /// Takes `entries` into `job`, those that cannot run left out with their rows.
    fn admit(&mut self, job: &mut Running, entries: Vec<StageEntry>) {
        let hidden = self.executor.hidden();
        let (mut from, mut kept) = (0, 0);
        for entry in entries {
            let rows = from..from + entry.rows * hidden;
            from = rows.end;
            match self.prepare(job.lane, &entry) {
                Ok(name) => {
                    job.entries.push((entry, name));
                    job.payload.x.copy_within(rows.clone(), kept);
                    kept += rows.len();
                }
                Err(failure) => self.fail(job, entry.session, failure),
            }
        }
        job.payload.x.truncate(kept);
    }

    /// Makes room for the rows of `entry`; its session's name.
    fn prepare(&mut self, lane: u64, entry: &StageEntry) -> Result<u64, Failure> {
        let admitted = self.scheduler.admit(lane, entry);
        let Admitted { name, is_new, context } = admitted.map_err(|error| entry_failure(&error))?;
        if is_new {
            self.executor.open(name, context);
        }
        let prepared = self.executor.prepare(name, entry.pos, entry.rows);
        prepared.map(|()| name).map_err(|message| memory_failure(&message))
    }

    fn hand_over(&mut self, mut job: Running) {
        let entries = job.entries_onward().collect();
        let x = mem::take(&mut job.payload.x);
        if let Some(handed) = self.scheduler.hand_over(job) {
            self.send_on(handed, entries, x);
        }
    }

    fn send_on(&mut self, handed: HandOver, entries: Vec<StageEntry>, x: Vec<f32>) {
        let batch = StageBatch { id: handed.number, entries, x, closed: handed.closed };
        if let Err(lost) = self.executor.send_on(batch) {
            self.change_next(Err(lost));
        }
    }

    /// The next stage has answered: its answer is this one's.
    fn returned(&mut self, answer: StageAnswer) {
        let StageAnswer { id, rows, failed, compute, queue } = answer;
        let Some(mut job) = self.scheduler.returned(id, compute, queue) else { return };
        for (name, failure) in failed {
            if let Some(session) = job.session_of(name) {
                self.fail(&mut job, session, failure);
            }
        }
        self.reply(job, &rows);
    }

    /// The answer rows of the middle's last stage. A session whose rows have overflowed fails, and
    /// takes none of the others along.
    fn answer_rows(&mut self, job: &mut Running) -> Vec<f32> {
        let hidden = self.executor.hidden();
        let x = mem::take(&mut job.payload.x);
        let (mut rows, mut end) = (Vec::new(), 0);
        for (entry, _) in mem::take(&mut job.entries) {
            end += entry.rows * hidden;
            let wanted = x.get(end - entry.answer_rows * hidden..end).unwrap_or_default();
            if wanted.iter().fold(true, |all, value| all & value.is_finite()) {
                rows.extend_from_slice(wanted);
            } else {
                self.fail(job, entry.session, not_finite());
            }
        }
        rows
    }

    fn reply(&mut self, job: Running, rows: &[f32]) {
        let Some(replies) = self.upstreams.get_mut(&job.lane) else { return };
        let InFlightJob { lane, id, compute, queue, payload, .. } = job;
        let hidden = self.executor.hidden();
        let sent = match StageDone::encode_rows(rows.len() / hidden.max(1), hidden, rows) {
            Ok(rows) => {
                let failed = payload.failed;
                replies.send(StageDown::Done(StageDone { id, rows, failed, compute, queue }))
            }
            Err(_) => false,
        };
        if !sent {
            self.close(lane, None);
        }
    }
}
