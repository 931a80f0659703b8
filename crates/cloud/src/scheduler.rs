//! The one task that owns the model and every session's KV cache.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::mpsc,
    task::{block_in_place, yield_now},
};
use tricorn_core::{Admission, AppendError, AppendHeader, Candidate, CloudSession, HiddenCodec, SessionLimits, Work, choose_batch};
use tricorn_wire::{Deep, Downlink, ErrorCode, Failure, Timing};

use crate::{
    load::{LoadGauge, Slot},
    middle::{BatchEntry, MiddleModel},
    outbox::{Outbox, PushError},
    queue::QueuedRows,
};

/// What sessions' tasks tell the scheduler.
#[derive(Debug)]
pub(crate) enum Command {
    Open(NewSession),
    Append { session: u64, header: AppendHeader, rows: Rows },
    Close { session: u64 },
    Drain,
}

#[derive(Debug)]
pub(crate) struct NewSession {
    pub(crate) id: u64,
    pub(crate) limits: SessionLimits,
    pub(crate) codec: HiddenCodec,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) slot: Slot,
}

/// An append's decoded rows.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) values: Vec<f32>,
    pub(crate) arrived: Instant,
    /// Dropped when they start to run.
    pub(crate) queued: QueuedRows,
}

pub(crate) struct Scheduler<M: MiddleModel> {
    model: M,
    commands: mpsc::Receiver<Command>,
    batch_rows: usize,
    load: Arc<LoadGauge>,
    sessions: BTreeMap<u64, Session<M::Kv>>,
    arrivals: u64,
    draining: bool,
    x: Vec<f32>,
    /// How long a row took in the batch before.
    row_time: Duration,
}

struct Session<Kv> {
    state: CloudSession<Waiting>,
    kv: Kv,
    codec: HiddenCodec,
    outbox: Arc<Outbox>,
    _slot: Slot,
}

struct Waiting {
    rows: Rows,
    arrival: u64,
}

/// A session with an append to run.
struct Head<'a, Kv> {
    id: u64,
    session: &'a mut Session<Kv>,
}

impl<Kv> Head<'_, Kv> {
    fn candidate(&self) -> Option<Candidate> {
        let Work { header, payload } = self.session.state.head()?;
        Some(Candidate { arrival: payload.arrival, rows: header.rows, kind: header.kind })
    }
}

/// An append in the running batch; its rows start at `first_value` of the batch's.
struct Member {
    session: u64,
    header: AppendHeader,
    first_value: usize,
    waited: Duration,
}

impl<M: MiddleModel> Scheduler<M> {
    pub(crate) fn new(model: M, commands: mpsc::Receiver<Command>, batch_rows: usize, load: Arc<LoadGauge>) -> Self {
        Self { model, commands, batch_rows, load, sessions: BTreeMap::new(), arrivals: 0, draining: false, x: Vec::new(), row_time: QUICK }
    }

    /// Runs until it is drained or nobody can send commands any more.
    ///
    /// # Errors
    /// What the model said when it panicked. Every session has then been told.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let outcome = self.serve().await;
        let failure = |code, text: &str| Some(Failure { code, message: text.to_owned() });
        for session in self.sessions.into_values() {
            session.outbox.end(match &outcome {
                Ok(()) => failure(ErrorCode::Shutdown, "the cloud has shut down; reconnect elsewhere"),
                Err(_) => failure(ErrorCode::Internal, "the cloud's model failed; reconnect elsewhere"),
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
            // The model may panic wherever it is called: for a new session's cache as well as for a batch.
            let round = AssertUnwindSafe(|| {
                command.into_iter().for_each(|command| self.handle(command));
                self.handle_arrived();
                self.step();
            });
            catch_unwind(round).map_err(panic_message)?;
            if self.draining {
                self.end_the_answered();
                if self.sessions.is_empty() {
                    return Ok(());
                }
            }
            // The streams' tasks, which may well wait for this thread, send what was computed.
            yield_now().await;
        }
    }

    fn has_work(&self) -> bool {
        self.sessions.values().any(|session| session.state.head().is_some())
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
                if let Some(closed) = self.sessions.remove(&session) {
                    closed.outbox.end(None);
                }
            }
            Command::Drain => self.drain(),
        }
    }

    fn open(&mut self, NewSession { id, limits, codec, outbox, slot }: NewSession) {
        if self.draining {
            return outbox.end(Some(shutting_down()));
        }
        let kv = self.model.new_kv(limits.context);
        self.sessions.insert(id, Session { state: CloudSession::new(limits), kv, codec, outbox, _slot: slot });
    }

    fn append(&mut self, id: u64, header: AppendHeader, rows: Rows) {
        if self.draining {
            return;
        }
        // Absent: it was ended while this was on its way.
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let arrival = self.arrivals;
        self.arrivals += 1;
        match session.state.accept(header, Waiting { rows, arrival }) {
            Ok(Admission::Queued | Admission::Stale) => {}
            Err(error) => self.fail(id, append_failure(&error)),
        }
    }

    fn fail(&mut self, id: u64, failure: Failure) {
        if let Some(session) = self.sessions.remove(&id) {
            session.outbox.end(Some(failure));
        }
    }

    fn drain(&mut self) {
        self.draining = true;
        let ids: Vec<u64> = self.sessions.keys().copied().collect();
        for id in ids {
            self.send(id, Downlink::Drain);
        }
    }

    fn end_the_answered(&mut self) {
        self.sessions.retain(|_, session| {
            let busy = session.state.head().is_some();
            if !busy {
                session.outbox.end(None);
            }
            busy
        });
    }

    /// One batch: chosen, computed, answered.
    fn step(&mut self) {
        let start = Instant::now();
        let mut heads: Vec<Option<Head<'_, M::Kv>>> = self
            .sessions
            .iter_mut()
            .filter(|(_, session)| session.state.head().is_some())
            .map(|(&id, session)| Some(Head { id, session }))
            .collect();
        let candidates: Vec<Candidate> = heads.iter().flatten().filter_map(Head::candidate).collect();
        let chosen = choose_batch(&candidates, self.batch_rows);

        let (mut members, mut entries, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        self.x.clear();
        for index in chosen {
            let Some(Head { id, session }) = heads.get_mut(index).and_then(Option::take) else { continue };
            let Some(Work { header, payload: Waiting { rows, .. } }) = session.state.start_next() else { continue };
            drop(rows.queued);
            if let Err(error) = self.model.prepare(&mut session.kv, header.pos, header.rows) {
                failed.push((id, Failure { code: ErrorCode::Busy, message: error.to_string() }));
                continue;
            }
            let waited = start.saturating_duration_since(rows.arrived);
            members.push(Member { session: id, header, first_value: self.x.len(), waited });
            self.x.extend_from_slice(&rows.values);
            entries.push(BatchEntry { kv: &mut session.kv, pos: header.pos, rows: header.rows });
        }
        let rows = entries.iter().map(|entry| entry.rows).sum::<usize>();
        let expected = self.row_time.saturating_mul(rows.try_into().unwrap_or(u32::MAX));
        let computed = match entries.is_empty() {
            true => Ok(()),
            false => on_this_thread(expected, || self.model.forward(&mut entries, &mut self.x)).map_err(|error| error.to_string()),
        };
        let compute = start.elapsed();
        if rows > 0 {
            self.row_time = compute / u32::try_from(rows).unwrap_or(u32::MAX);
        }

        failed.into_iter().for_each(|(id, failure)| self.fail(id, failure));
        // What the devices said meanwhile comes first: it may make an answer stale, and spare it the way.
        self.handle_arrived();
        match computed {
            Ok(()) => self.answer(&members, compute),
            Err(message) => {
                members.iter().for_each(|m| self.fail(m.session, Failure { code: ErrorCode::Internal, message: message.clone() }))
            }
        }
    }

    fn answer(&mut self, members: &[Member], compute: Duration) {
        let hidden = self.model.hidden();
        let batch_tokens = members.iter().map(|member| member.header.rows).sum::<usize>();
        for member in members {
            let Some(session) = self.sessions.get_mut(&member.session) else { continue };
            let Some(header) = session.state.done() else { continue };
            let end = member.first_value + member.header.rows * hidden;
            let wanted = self.x.get(end - header.rows * hidden..end).unwrap_or_default();
            let timing = Timing {
                queue_us: micros(member.waited),
                compute_us: micros(compute),
                batch_tokens: batch_tokens.try_into().unwrap_or(u64::MAX),
                batch_appends: members.len().try_into().unwrap_or(u64::MAX),
            };
            match Deep::encode(header, session.codec, hidden, wanted, timing, self.load.snapshot()) {
                Ok(deep) => self.send(member.session, Downlink::Deep(deep)),
                Err(error) => self.fail(member.session, Failure { code: ErrorCode::Internal, message: error.to_string() }),
            }
        }
    }

    fn send(&mut self, id: u64, message: Downlink) {
        let Some(session) = self.sessions.get(&id) else { return };
        match session.outbox.push(message) {
            Ok(()) => {}
            Err(error) => {
                if error == PushError::Full {
                    session.outbox.abort(Failure {
                        code: ErrorCode::SlowReader,
                        message: "answers were not read in time; reconnect and read faster or ask for fewer rows".to_owned(),
                    });
                }
                self.sessions.remove(&id);
            }
        }
    }
}

/// A batch that is expected to take no longer than this runs where it is: another thread would be woken for less than it costs to wake it.
const QUICK: Duration = Duration::from_millis(5);

/// Runs a batch on this thread of the runtime. A thread of the scheduler's own would cost two wake-ups a round trip, together about as long
/// as a layer of a small model takes. While a batch runs that is not quick, another thread serves the streams.
fn on_this_thread<T>(expected: Duration, compute: impl FnOnce() -> T) -> T {
    if expected > QUICK && Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread { block_in_place(compute) } else { compute() }
}

pub(crate) fn shutting_down() -> Failure {
    Failure { code: ErrorCode::Shutdown, message: "this cloud is shutting down; reconnect elsewhere".to_owned() }
}

pub(crate) fn append_failure(error: &AppendError) -> Failure {
    let code = match error {
        AppendError::TooManyRows { .. } => ErrorCode::TooLarge,
        AppendError::Empty { .. } | AppendError::BeyondContext { .. } | AppendError::Gap { .. } | AppendError::QueueFull { .. } => {
            ErrorCode::BadAppend
        }
    };
    Failure { code, message: error.to_string() }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

fn panic_message(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").lines().next().unwrap_or_default().to_owned()
}
