//! The one task that owns the model and every session's KV cache.

mod answer;
mod failures;
mod form;
mod seat;
mod stages;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::yield_now};
use tricorn_core::{Admission, AppendHeader, AppendKind, BatchLimits, Schedule};
use tricorn_wire::{Downlink, ErrorCode, Failure};

use crate::{
    CloudConfig,
    compute::compute,
    downstream::{Downstream, NextEvent, StageAnswer, StageLost},
    load::LoadGauge,
    middle::MiddleModel,
    outbox::PushError,
};
use form::{Formed, form};
use seat::{Seat, Waiting};
use stages::{Flight, Next};

pub(crate) use failures::{append_failure, panic_message, shutting_down, stage_failure};
pub(crate) use seat::{Arrival, NewSession, Rows};

/// Rows that prompts get in a batch where they wait at all, so that verifications cannot keep them
/// out.
const QUANTUM: usize = 16;
/// A session whose last verification came so many times the target between two ago is not decoding
/// any more.
const DECODING: u32 = 10;

/// What the scheduler is told: by sessions' tasks, and by whoever keeps the connection to the next
/// stage.
#[derive(Debug)]
pub(crate) enum Command {
    Open(NewSession),
    Append {
        session: u64,
        header: AppendHeader,
        rows: Rows,
    },
    Close {
        session: u64,
    },
    Drain,
    /// The next stage's connection stands anew, or is lost.
    Next(Result<Box<dyn Downstream>, StageLost>),
    /// A batch has come back from the next stage.
    Returned(StageAnswer),
}

impl From<NextEvent> for Command {
    fn from(event: NextEvent) -> Self {
        match event {
            NextEvent::Connection(connection) => Self::Next(connection),
            NextEvent::Answer(answer) => Self::Returned(answer),
        }
    }
}

pub(crate) struct Scheduler<M: MiddleModel> {
    model: M,
    commands: mpsc::Receiver<Command>,
    config: CloudConfig,
    load: Arc<LoadGauge>,
    next: Next,
    seats: BTreeMap<u64, Seat<M::Kv>>,
    /// Batches that later stages compute, by their number.
    flights: BTreeMap<u64, Flight>,
    batches: u64,
    tickets: u64,
    draining: bool,
    x: Vec<f32>,
}

impl<M: MiddleModel> Scheduler<M> {
    /// With `next` when this is not the only stage; [`Command::Next`] tells it of another.
    pub(crate) fn new(
        model: M,
        commands: mpsc::Receiver<Command>,
        config: CloudConfig,
        load: Arc<LoadGauge>,
        next: Option<Box<dyn Downstream>>,
    ) -> Self {
        let next = next.map_or(Next::None, Next::up);
        load.monitor().set_stages(next.stages());
        Self {
            model,
            commands,
            config,
            load,
            next,
            seats: BTreeMap::new(),
            flights: BTreeMap::new(),
            batches: 0,
            tickets: 0,
            draining: false,
            x: Vec::new(),
        }
    }

    /// Runs until it is drained or nobody can send commands any more.
    ///
    /// # Errors
    /// What the model said when it panicked. Every session has then been told.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let outcome = self.serve().await;
        let failure = |code, text: &str| Some(Failure { code, message: text.to_owned() });
        for seat in self.seats.into_values() {
            seat.outbox.end(match &outcome {
                Ok(()) => {
                    failure(ErrorCode::Shutdown, "the cloud has shut down; reconnect elsewhere")
                }
                Err(_) => {
                    failure(ErrorCode::Internal, "the cloud's model failed; reconnect elsewhere")
                }
            });
        }
        outcome
    }

    async fn serve(&mut self) -> Result<(), String> {
        loop {
            let command = match self.has_work() {
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
                if self.has_work() {
                    self.step();
                }
            });
            catch_unwind(round).map_err(panic_message)?;
            if self.draining {
                self.end_the_answered();
                if self.seats.is_empty() {
                    return Ok(());
                }
            }
            // The streams' tasks, which may well wait for this thread, send what was computed.
            yield_now().await;
        }
    }

    fn has_work(&self) -> bool {
        let out = self.flights.len();
        self.next.takes(out)
            && (self.next.has_news(out)
                || self.seats.values().any(|seat| seat.state.head().is_some()))
    }

    fn handle_arrived(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            self.handle(command);
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Open(new) => self.open(new),
            Command::Append { session, header, rows } => self.append(session, header, rows),
            Command::Close { session } => {
                if let Some(closed) = self.remove(session) {
                    closed.outbox.end(None);
                }
            }
            Command::Drain => self.drain(),
            Command::Next(next) => self.change_next(next),
            Command::Returned(answer) => self.returned(answer),
        }
    }

    fn open(&mut self, new: NewSession) {
        if self.draining {
            return new.outbox.end(Some(shutting_down()));
        }
        if let Next::Lost(lost) = &self.next {
            return new.outbox.end(Some(stage_failure(lost)));
        }
        let kv = self.model.new_kv(new.limits.context);
        self.seats.insert(new.id, Seat::new(new, kv, self.next.stages(), Instant::now()));
    }

    fn append(&mut self, id: u64, header: AppendHeader, rows: Rows) {
        if self.draining {
            return;
        }
        // Absent: it was ended while this was on its way.
        let Some(seat) = self.seats.get_mut(&id) else { return };
        seat.verified = (header.kind == AppendKind::Verify).then_some(rows.arrival.at);
        let ticket = self.tickets;
        self.tickets += 1;
        match seat.state.accept(header, Arc::new(Waiting { rows, ticket })) {
            Ok(Admission::Queued | Admission::Stale) => {}
            Err(error) => self.fail(id, append_failure(&error)),
        }
    }

    fn remove(&mut self, id: u64) -> Option<Seat<M::Kv>> {
        let seat = self.seats.remove(&id)?;
        if seat.state.has_started() {
            self.next.forget(id);
        }
        Some(seat)
    }

    fn fail(&mut self, id: u64, failure: Failure) {
        if let Some(seat) = self.remove(id) {
            seat.outbox.end(Some(failure));
        }
    }

    fn drain(&mut self) {
        self.draining = true;
        let ids: Vec<u64> = self.seats.keys().copied().collect();
        for id in ids {
            self.send(id, Downlink::Drain);
        }
    }

    fn end_the_answered(&mut self) {
        self.seats.retain(|_, seat| {
            let busy = seat.state.is_busy();
            if !busy {
                seat.outbox.end(None);
            }
            busy
        });
    }

    /// One batch: chosen, computed, and answered or handed to the next stage.
    fn step(&mut self) {
        let start = Instant::now();
        let limits = self.limits(start);
        let Formed { members, mut entries, refused } =
            form(&self.model, &mut self.seats, &limits, &mut self.x, start);
        let rows = entries.iter().map(|entry| entry.rows).sum::<usize>();
        let mut outcome = Ok(());
        if rows > 0 {
            // Nobody knows how slow the first one is.
            let expected = self.load.monitor().expected(rows).unwrap_or(Duration::MAX);
            let computed =
                compute(&self.model, &mut entries, &mut self.x, expected, self.config.pace);
            outcome = computed.outcome.map_err(|error| error.to_string());
            let prompting =
                members.iter().any(|member| member.run.kind() == Some(AppendKind::Prompt));
            let mut monitor = self.load.monitor();
            monitor.batch(rows, prompting, computed.time, computed.overran);
            for member in &members {
                member.begins.into_iter().for_each(|(kind, waited)| {
                    monitor.joined(kind, waited, rows - member.run.rows)
                });
            }
        }
        refused.into_iter().for_each(|(id, failure)| self.fail(id, failure));
        let flight = Flight { start, own: start.elapsed(), members };
        match outcome {
            Ok(()) if self.next.is_some() => self.hand_over(flight),
            Ok(()) => {
                // What the devices said meanwhile comes first: it may make an answer stale, and
                // spare it the way.
                self.handle_arrived();
                self.answer_here(&flight);
            }
            Err(message) => {
                let failure = Failure { code: ErrorCode::Internal, message };
                flight.members.iter().for_each(|member| self.fail(member.session, failure.clone()));
            }
        }
    }

    fn limits(&self, now: Instant) -> BatchLimits {
        let CloudConfig { schedule, batch_rows, tbt_target, .. } = self.config;
        let quantum = QUANTUM.min(batch_rows);
        let lately =
            |at: Instant| now.saturating_duration_since(at) < tbt_target.saturating_mul(DECODING);
        let decoding = self.seats.values().any(|seat| seat.verified.is_some_and(lately));
        let mut monitor = self.load.monitor();
        let budget = match (schedule, monitor.budget(tbt_target, decoding)) {
            (Schedule::Chunked, Some(budget)) => {
                monitor.cuts(budget.min(batch_rows), quantum);
                monitor.next_budget(budget, quantum)
            }
            (Schedule::Whole, _) | (_, None) => batch_rows,
        };
        BatchLimits { schedule, budget, quantum, max_rows: batch_rows }
    }

    fn send(&mut self, id: u64, message: Downlink) {
        let Some(seat) = self.seats.get(&id) else { return };
        match seat.outbox.push(message) {
            Ok(()) => {}
            Err(error) => {
                if error == PushError::Full {
                    seat.outbox.abort(Failure {
                        code: ErrorCode::SlowReader,
                        message: "answers were not read in time; reconnect and read faster or ask \
                                  for fewer rows"
                            .to_owned(),
                    });
                }
                self.remove(id);
            }
        }
    }
}
