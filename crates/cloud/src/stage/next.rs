//! Connection to the next stage: what the owner of a model holds of it, and the task that reads its
//! answers and makes another.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::timeout};
use tonic::Streaming;
use tricorn_core::StageEntry;
use tricorn_wire::{ErrorCode, Failure, StageDone, StageDown, StageUp, proto};

use super::dial::{Backoff, DialError, Dialled, FIRST_ANSWER, NextConfig, describe};
use crate::downstream::{Downstream, NextEvent, StageAnswer, StageBatch, StageLost};

/// Tries to reach a next stage that was never there, within about three seconds where it refuses
/// them. Where it accepts connections and says nothing, none begins once one has failed.
const FIRST_TRIES: usize = 5;

/// A next stage that answered.
#[derive(Debug)]
pub(crate) struct Joined {
    config: NextConfig,
    dialled: Dialled,
}

/// Reaches the next stage for the first time.
///
/// # Errors
/// When it does not answer for some seconds, or does not fit.
pub(crate) async fn join(config: NextConfig) -> Result<Joined, DialError> {
    let (mut backoff, begun) = (Backoff::new(), Instant::now());
    let mut tried = 0;
    loop {
        tried += 1;
        match config.dial_within(FIRST_ANSWER).await {
            Err(DialError::Unreachable(_))
                if tried < FIRST_TRIES && begun.elapsed() < FIRST_ANSWER =>
            {
                backoff.wait().await
            }
            dialled => return Ok(Joined { dialled: dialled?, config }),
        }
    }
}

/// One connection to the next stage, as the owner of a model sees it. The stream ends when it is
/// dropped.
#[derive(Debug)]
struct NextStage {
    hidden: usize,
    up: mpsc::Sender<proto::StageUp>,
    stages: usize,
    /// Sessions that have a KV cache there.
    known: BTreeSet<u64>,
    out: Arc<OutBatches>,
}

/// Batches without an answer, oldest first.
#[derive(Debug, Default)]
struct OutBatches(Mutex<VecDeque<OutBatch>>);

#[derive(Debug)]
struct OutBatch {
    id: u64,
    entries: Vec<StageEntry>,
    /// Sessions whose rows were not fit to be sent.
    failed: Vec<(u64, Failure)>,
    since: Instant,
}

/// Reads a connection's answers, and makes another connection when it is lost.
struct Keeper<C> {
    config: NextConfig,
    events: mpsc::Sender<C>,
}

impl Joined {
    /// Stages from the next one to the last.
    pub(crate) fn stages(&self) -> usize {
        self.dialled.stages
    }

    /// The connection. Until `events` are closed they get whatever it gives, and another when it is
    /// lost.
    pub(crate) fn keep<C: From<NextEvent> + Send + 'static>(
        self,
        events: mpsc::Sender<C>,
    ) -> Box<dyn Downstream> {
        let Self { config, dialled } = self;
        let (next, answers) = NextStage::over(dialled, config.open.hidden);
        tokio::spawn(Keeper { config, events }.run(answers));
        Box::new(next)
    }
}

/// The reading half of a connection.
struct Answers {
    down: Streaming<proto::StageDown>,
    out: Arc<OutBatches>,
}

impl NextStage {
    fn over(Dialled { up, down, stages }: Dialled, hidden: usize) -> (Self, Answers) {
        let out = Arc::new(OutBatches::default());
        (
            Self { hidden, up, stages, known: BTreeSet::new(), out: Arc::clone(&out) },
            Answers { down, out },
        )
    }
}

impl Downstream for NextStage {
    fn start(&mut self, batch: StageBatch) -> Result<(), StageLost> {
        let StageBatch { id, entries, x, closed } = batch;
        let (entries, x, failed) = finite_only(entries, x, self.hidden);
        let closed = closed.into_iter().filter(|session| self.known.remove(session)).collect();
        self.known.extend(entries.iter().map(|entry| entry.session));
        // What is not finite is gone, so it can only be the number of values that is wrong.
        let batch = tricorn_wire::StageBatch::encode(id, entries.clone(), closed, self.hidden, &x);
        let batch = batch.map_err(|error| StageLost(error.to_string()))?;
        self.out.lock().push_back(OutBatch { id, entries, failed, since: Instant::now() });
        self.up
            .try_send(StageUp::Batch(batch).into())
            .map_err(|_| StageLost("it takes no more batches".to_owned()))
    }

    /// One batch for each later stage, and one that is on its way while the stage here computes
    /// another.
    fn window(&self) -> usize {
        self.stages + 1
    }

    fn stages(&self) -> usize {
        self.stages
    }
}

/// One session's overflow must not take the others along: what is not finite stays here, and its
/// session fails.
fn finite_only(
    entries: Vec<StageEntry>,
    mut x: Vec<f32>,
    hidden: usize,
) -> (Vec<StageEntry>, Vec<f32>, Vec<(u64, Failure)>) {
    let mut failed = Vec::new();
    let (mut start, mut kept) = (0, 0);
    let entries = entries.into_iter().filter(|entry| {
        let end = x.len().min(start + entry.rows * hidden);
        let finite = x[start..end].iter().fold(true, |all, value| all & value.is_finite());
        if finite {
            x.copy_within(start..end, kept);
            kept += end - start;
        } else {
            failed.push((entry.session, not_finite()));
        }
        start = end;
        finite
    });
    let entries = entries.collect();
    x.truncate(kept);
    (entries, x, failed)
}

pub(crate) fn not_finite() -> Failure {
    let message = "the hidden rows have grown beyond what a number holds; the rows sent were not \
                   the model's"
        .to_owned();
    Failure { code: ErrorCode::Internal, message }
}

impl OutBatches {
    fn lock(&self) -> MutexGuard<'_, VecDeque<OutBatch>> {
        // No code that can panic leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the oldest has been out for too long.
    fn overdue(&self, deadline: Duration) -> bool {
        self.lock().front().is_some_and(|out| out.since.elapsed() > deadline)
    }

    /// Matches an answer with the oldest.
    fn answered(&self, done: StageDone, hidden: usize) -> Result<StageAnswer, String> {
        let out = self
            .lock()
            .pop_front()
            .ok_or_else(|| format!("it answered batch {}, which was never sent", done.id))?;
        if done.id != out.id {
            return Err(format!("it answered batch {} when {} was due", done.id, out.id));
        }
        let failed_there: BTreeSet<u64> = done.failed.iter().map(|(session, _)| *session).collect();
        let sent = |session: &u64| out.entries.iter().any(|entry| entry.session == *session);
        if !failed_there.iter().all(sent) {
            return Err(format!("it answered batch {} for sessions that were not in it", out.id));
        }
        let rows = out
            .entries
            .iter()
            .filter(|entry| !failed_there.contains(&entry.session))
            .map(|entry| entry.answer_rows)
            .sum();
        let rows = done.decode(rows, hidden).map_err(|error| error.to_string())?;
        let failed = out.failed.into_iter().chain(done.failed).collect();
        Ok(StageAnswer { id: out.id, rows, failed, compute: done.compute, queue: done.queue })
    }
}

impl<C: From<NextEvent>> Keeper<C> {
    async fn run(self, mut answers: Answers) {
        let gone = self.events.clone();
        loop {
            let reason = tokio::select! {
                () = gone.closed() => return,
                reason = self.listen(&mut answers) => reason,
            };
            self.tell(NextEvent::Connection(Err(StageLost(reason.clone())))).await;
            let dialled = tokio::select! {
                () = gone.closed() => return,
                dialled = self.redial(reason) => dialled,
            };
            let (next, behind) = NextStage::over(dialled, self.config.open.hidden);
            answers = behind;
            self.tell(NextEvent::Connection(Ok(Box::new(next)))).await;
        }
    }

    /// Nobody hears it only when there is no owner of a model any more, which is noticed by the
    /// next wait.
    async fn tell(&self, event: NextEvent) {
        let _ = self.events.send(event.into()).await;
    }

    /// Reads until the stage is lost, and says why it is.
    async fn listen(&self, Answers { down, out }: &mut Answers) -> String {
        let deadline = self.config.deadline;
        // A timer for each batch would wake this task as often as the answers do.
        let look = (deadline / 4).clamp(Duration::from_millis(1), Duration::from_secs(1));
        loop {
            let message = match timeout(look, down.message()).await {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => return "it ended the stream".to_owned(),
                Ok(Err(status)) => return describe(&status),
                Err(_) if out.overdue(deadline) => return format!("no answer within {deadline:?}"),
                Err(_) => continue,
            };
            let done = match StageDown::try_from(message) {
                Ok(StageDown::Done(done)) => done,
                Ok(StageDown::Failed(failure)) => return failure.message,
                Ok(StageDown::Opened(_)) => return "it opened the stream twice".to_owned(),
                Err(error) => return error.to_string(),
            };
            match out.answered(done, self.config.open.hidden) {
                Ok(answer) => self.tell(NextEvent::Answer(answer)).await,
                Err(reason) => return reason,
            }
        }
    }

    /// Tries until the stage is there again and fits; says so when the reason why it is not
    /// changes.
    async fn redial(&self, mut told: String) -> Dialled {
        let mut backoff = Backoff::new();
        loop {
            let reason = match self.config.dial().await {
                Ok(dialled) => return dialled,
                Err(error) => error.reason(),
            };
            if reason != told {
                self.tell(NextEvent::Connection(Err(StageLost(reason.clone())))).await;
                told = reason;
            }
            backoff.wait().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(session: u64, rows: usize) -> StageEntry {
        StageEntry { session, pos: 0, rows, answer_rows: rows }
    }

    #[test]
    fn what_is_not_finite_stays_and_the_rest_closes_up() {
        let x = vec![1.0, 2.0, f32::NAN, 0.0, 5.0, 6.0, 7.0, 8.0, f32::INFINITY, 9.0];
        let (entries, x, failed) =
            finite_only(vec![entry(1, 1), entry(2, 1), entry(3, 2), entry(4, 1)], x, 2);
        assert_eq!(
            (entries, x),
            (vec![entry(1, 1), entry(3, 2)], vec![1.0, 2.0, 5.0, 6.0, 7.0, 8.0])
        );
        assert_eq!(failed.iter().map(|(session, _)| *session).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn an_answer_must_be_that_of_the_oldest_batch() {
        let answered = |done| {
            let out = OutBatches::default();
            out.lock().push_back(OutBatch {
                id: 3,
                entries: vec![entry(1, 1), entry(2, 2)],
                failed: Vec::new(),
                since: Instant::now(),
            });
            out.answered(done, 1)
        };
        let failure = Failure { code: ErrorCode::Busy, message: "full".to_owned() };
        let done = |id, values: &[f32], failed| {
            let rows = StageDone::encode_rows(values.len(), 1, values).unwrap_or_default();
            StageDone { id, rows, failed, compute: Duration::ZERO, queue: Duration::ZERO }
        };
        assert!(
            answered(done(3, &[1.0, 2.0, 3.0], Vec::new()))
                .is_ok_and(|back| back.rows == [1.0, 2.0, 3.0])
        );
        assert!(
            answered(done(3, &[1.0], vec![(2, failure.clone())]))
                .is_ok_and(|back| back.failed == [(2, failure.clone())])
        );
        for wrong in [
            done(4, &[1.0, 2.0, 3.0], Vec::new()),
            done(3, &[1.0], Vec::new()),
            done(3, &[1.0, 2.0, 3.0], vec![(7, failure)]),
        ] {
            assert!(answered(wrong).is_err());
        }
        assert!(OutBatches::default().answered(done(1, &[], Vec::new()), 1).is_err());
    }
}
