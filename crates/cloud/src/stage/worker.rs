//! The one task of a later stage that owns the model and the KV caches of every upstream's
//! sessions.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::yield_now,
};
use tricorn_core::DelayModel;
use tricorn_wire::{ErrorCode, Failure, StageDone, StageDown, StageEntry, StageOpened};

use super::{
    batch::{Outcome, run},
    replies::Replies,
    sessions::Sessions,
};
use crate::{
    Figures, Pace,
    downstream::{Downstream, NextEvent, StageAnswer, StageBatch, StageLost},
    middle::MiddleModel,
    scheduler::{panic_message, shutting_down, stage_failure},
};

/// What the upstreams' tasks and the next stage tell the worker.
#[derive(Debug)]
pub(crate) enum Command {
    Open { line: u64, context: usize, max_sessions: usize, replies: Replies },
    Batch(Job),
    Close { line: u64, failure: Option<Failure> },
    Next(NextEvent),
    Drain,
}

impl From<NextEvent> for Command {
    fn from(event: NextEvent) -> Self {
        Self::Next(event)
    }
}

/// A batch that has arrived.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) line: u64,
    pub(crate) batch: StageBatch,
    pub(crate) arrived: Instant,
    /// Dropped when the batch is answered: so many may wait.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// One upstream.
struct Line<Kv> {
    sessions: Sessions<Kv>,
    replies: Replies,
}

/// A batch that has been through the layers here.
struct Ran {
    line: u64,
    /// As the upstream calls it.
    id: u64,
    /// The entries that ran, with their sessions' names at the next stage.
    entries: Vec<(StageEntry, u64)>,
    failed: Vec<(u64, Failure)>,
    compute: Duration,
    queue: Duration,
    _permit: OwnedSemaphorePermit,
}

pub(crate) struct Worker<M: MiddleModel> {
    model: M,
    commands: mpsc::Receiver<Command>,
    /// Where the layers here end; those of the last stage when there is a next.
    end_layer: usize,
    /// The way onwards, or why it is closed; `None` in the last stage.
    next: Option<Result<Box<dyn Downstream>, StageLost>>,
    lines: BTreeMap<u64, Line<M::Kv>>,
    waiting: VecDeque<Job>,
    /// What the next stage has, by its batches' names, oldest first; `None` is one of ours that
    /// only names the closed sessions.
    onward: VecDeque<(u64, Option<Ran>)>,
    /// Sessions that ended, for the next stage to know.
    closed: Vec<u64>,
    names: u64,
    batches: u64,
    /// What batches take here.
    delay: DelayModel,
    pace: Option<Pace>,
    figures: Figures,
}

impl<M: MiddleModel> Worker<M> {
    pub(crate) fn new(
        model: M,
        commands: mpsc::Receiver<Command>,
        end_layer: usize,
        next: Option<Box<dyn Downstream>>,
        pace: Option<Pace>,
    ) -> Self {
        Self {
            model,
            commands,
            end_layer,
            next: next.map(Ok),
            lines: BTreeMap::new(),
            waiting: VecDeque::new(),
            onward: VecDeque::new(),
            closed: Vec::new(),
            names: 0,
            batches: 0,
            delay: DelayModel::default(),
            pace,
            figures: Figures::default(),
        }
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
        self.end_all(&failure);
        outcome.map(|()| self.figures)
    }

    async fn serve(&mut self) -> Result<(), String> {
        loop {
            let command = match self.can_step() {
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
                    None => self.step(),
                }
                self.tell_closed();
            });
            catch_unwind(round).map_err(panic_message)?;
            yield_now().await;
        }
    }

    fn can_step(&self) -> bool {
        !self.waiting.is_empty()
            && match &self.next {
                Some(Ok(next)) => self.onward.len() < next.window(),
                // There is nothing to do for a stage that is not there; the batches of the lines
                // that it has ended go.
                Some(Err(_)) | None => true,
            }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Open { line, context, max_sessions, replies } => {
                self.open(line, Sessions::new(context, max_sessions), replies)
            }
            Command::Batch(job) => self.waiting.push_back(job),
            Command::Close { line, failure } => self.close(line, failure),
            Command::Next(NextEvent::Answer(answer)) => self.returned(answer),
            Command::Next(NextEvent::Connection(Ok(next))) => self.next = Some(Ok(next)),
            Command::Next(NextEvent::Connection(Err(lost))) => self.lose(lost),
            // Ends the loop before it gets here.
            Command::Drain => {}
        }
    }

    fn open(&mut self, line: u64, sessions: Sessions<M::Kv>, mut replies: Replies) {
        let behind = match &self.next {
            None => Ok(0),
            Some(Ok(next)) => Ok(next.stages()),
            Some(Err(lost)) => Err(lost),
        };
        match behind {
            Ok(behind) => {
                replies.send(StageDown::Opened(StageOpened {
                    stages: behind + 1,
                    end_layer: self.end_layer,
                }));
                self.lines.insert(line, Line { sessions, replies });
            }
            Err(lost) => replies.end(stage_failure(lost)),
        }
    }

    fn close(&mut self, line: u64, failure: Option<Failure>) {
        if let Some(line) = self.lines.remove(&line) {
            self.closed.extend(line.sessions.names());
            if let Some(failure) = failure {
                line.replies.end(failure);
            }
        }
        self.waiting.retain(|job| job.line != line);
    }

    /// Nobody's rows are there any more: every upstream begins again.
    fn lose(&mut self, lost: StageLost) {
        self.end_all(&stage_failure(&lost));
        self.closed.clear();
        self.next = Some(Err(lost));
    }

    fn end_all(&mut self, failure: &Failure) {
        for (_, line) in mem::take(&mut self.lines) {
            self.closed.extend(line.sessions.names());
            line.replies.end(failure.clone());
        }
        self.waiting.clear();
        self.onward.clear();
    }

    /// One batch: run, then sent on or answered.
    fn step(&mut self) {
        let Some(Job { line: id, batch, arrived, permit }) = self.waiting.pop_front() else {
            return;
        };
        let Some(line) = self.lines.get_mut(&id) else { return };
        let start = Instant::now();
        self.closed
            .extend(batch.closed.iter().filter_map(|&session| line.sessions.remove(session)));
        let mut name = || {
            self.names += 1;
            self.names
        };
        let mut outcome = run(
            &self.model,
            &mut line.sessions,
            batch.entries,
            batch.x,
            &mut name,
            &self.delay,
            self.pace,
        );
        if outcome.rows > 0 {
            self.delay.observe(outcome.rows, outcome.time);
            self.figures.count(outcome.rows, outcome.overran);
        }
        self.closed.append(&mut outcome.gone);
        let queue = start.saturating_duration_since(arrived);
        let mut ran = Ran {
            line: id,
            id: batch.id,
            entries: Vec::new(),
            failed: Vec::new(),
            compute: outcome.time,
            queue,
            _permit: permit,
        };
        if self.next.is_some() {
            let Outcome { entries, x, failed, .. } = outcome;
            self.hand_on(Some(Ran { entries, failed, ..ran }), x);
        } else {
            let rows = outcome.answer(&mut line.sessions, self.model.hidden());
            ran.failed = outcome.failed;
            self.reply(ran, &rows);
        }
    }

    /// Tells the next stage of ended sessions when no batch will: their KV caches must not stay
    /// there until somebody else comes.
    fn tell_closed(&mut self) {
        if self.next.is_none() {
            // Nobody is behind to be told.
            self.closed.clear();
        }
        if !self.closed.is_empty() && self.waiting.is_empty() && self.onward.is_empty() {
            self.hand_on(None, Vec::new());
        }
    }

    /// Sends `ran` on with its rows `x`, or nothing but the names of ended sessions.
    fn hand_on(&mut self, ran: Option<Ran>, x: Vec<f32>) {
        // A connection that is lost has taken the upstreams' lines along, and with them their
        // batches.
        let Some(Ok(next)) = &mut self.next else { return };
        self.batches += 1;
        let ran_here = ran.iter().flat_map(|ran| &ran.entries);
        let entries =
            ran_here.map(|&(entry, name)| StageEntry { session: name, ..entry }).collect();
        match next.start(StageBatch {
            id: self.batches,
            entries,
            x,
            closed: mem::take(&mut self.closed),
        }) {
            Ok(()) => self.onward.push_back((self.batches, ran)),
            Err(lost) => self.lose(lost),
        }
    }

    /// The next stage has answered: its answer is this one's.
    fn returned(&mut self, StageAnswer { id, rows, failed, compute, queue }: StageAnswer) {
        // Of batches before a loss, nobody wants to know any more.
        if self.onward.front().is_none_or(|(onward, _)| *onward != id) {
            return;
        }
        let Some((_, Some(mut ran))) = self.onward.pop_front() else { return };
        let Some(line) = self.lines.get_mut(&ran.line) else { return };
        for (name, failure) in failed {
            let Some(&(entry, _)) = ran.entries.iter().find(|(_, known)| *known == name) else {
                continue;
            };
            self.closed.extend(line.sessions.remove(entry.session));
            ran.failed.push((entry.session, failure));
        }
        ran.compute += compute;
        ran.queue += queue;
        self.reply(ran, &rows);
    }

    fn reply(&mut self, ran: Ran, rows: &[f32]) {
        let Some(line) = self.lines.get_mut(&ran.line) else { return };
        let Ran { line: id, failed, compute, queue, .. } = ran;
        let hidden = self.model.hidden();
        let sent = match StageDone::encode_rows(rows.len() / hidden.max(1), hidden, rows) {
            Ok(rows) => line.replies.send(StageDown::Done(StageDone {
                id: ran.id,
                rows,
                failed,
                compute,
                queue,
            })),
            Err(_) => false,
        };
        if !sent {
            self.close(id, None);
        }
    }
}
