//! Session as the cloud sees it: positions, epochs and a queue, no hidden states.

use std::collections::VecDeque;

use super::{
    error::AppendError,
    run::{Head, Piece, Run},
};
use crate::{AppendHeader, AppendKind, SessionLimits};

/// What became of a valid append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It will run after the ones before it, and be answered.
    Queued,
    /// Its epoch was abandoned by the device: dropped, and never answered.
    Stale,
}

#[derive(Debug)]
struct Waiting<P> {
    header: AppendHeader,
    payload: P,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    end: usize,
    stale: bool,
}

/// The cloud's state machine for one session: checks appends, keeps them in order, and says which
/// answers are still wanted.
///
/// [`accept`](Self::accept), then [`start_next`](Self::start_next), compute, [`done`](Self::done).
/// What runs is a [`Run`]: appends that follow each other run together, and a prompt may be cut
/// anywhere, since its rows are computed the same in any company. As many runs as the middle has
/// stages may be under way, each behind the one before.
#[derive(Debug)]
pub struct CloudSession<P = ()> {
    limits: SessionLimits,
    stages: usize,
    epoch: u32,
    computed: usize,
    running: VecDeque<Running>,
    queue: VecDeque<Waiting<P>>,
    /// Rows of the queue's first append that have started.
    front_started: usize,
    queued_rows: usize,
}

impl<P> CloudSession<P> {
    /// An empty session that is held to `limits`, in a middle of one stage.
    #[must_use]
    pub fn new(limits: SessionLimits) -> Self {
        Self {
            limits,
            stages: 1,
            epoch: 0,
            computed: 0,
            running: VecDeque::new(),
            queue: VecDeque::new(),
            front_started: 0,
            queued_rows: 0,
        }
    }

    /// The same in a middle of `stages` stages: so many runs may be under way at once.
    #[must_use]
    pub fn with_stages(self, stages: usize) -> Self {
        Self { stages: stages.max(1), ..self }
    }

    /// Checks an append and queues it.
    ///
    /// An append of a newer epoch drops everything older that has not started. An append below
    /// [`len`](Self::len) truncates when it runs.
    ///
    /// # Errors
    /// When the device broke a limit or left a gap; the session is unchanged, but the device must
    /// be told and the session ended, since an append without an answer would leave the two sides
    /// out of step.
    pub fn accept(&mut self, header: AppendHeader, payload: P) -> Result<Admission, AppendError> {
        let AppendHeader { epoch, pos, rows, .. } = header;
        let SessionLimits { context, max_append_rows, max_queued_rows } = self.limits;
        if rows == 0 {
            return Err(AppendError::Empty { pos });
        }
        if rows > max_append_rows {
            return Err(AppendError::TooManyRows { rows, limit: max_append_rows });
        }
        if pos.checked_add(rows).is_none_or(|end| end > context) {
            return Err(AppendError::BeyondContext { pos, rows, context });
        }
        if epoch < self.epoch {
            return Ok(Admission::Stale);
        }
        let abandons = epoch > self.epoch;
        let (len, queued) =
            if abandons { (self.started_len(), 0) } else { (self.len(), self.queued_rows) };
        if pos > len {
            return Err(AppendError::Gap { pos, len });
        }
        if queued.saturating_add(rows) > max_queued_rows {
            return Err(AppendError::QueueFull { rows, queued, limit: max_queued_rows });
        }
        if abandons {
            self.epoch = epoch;
            self.queue.clear();
            self.front_started = 0;
            self.running.iter_mut().for_each(|running| running.stale = true);
        }
        self.queued_rows = queued + rows;
        self.queue.push_back(Waiting { header, payload });
        Ok(Admission::Queued)
    }

    /// What [`start_next`](Self::start_next) would begin with; `None` while as many runs as there
    /// are stages are under way, or when nothing waits.
    #[must_use]
    pub fn head(&self) -> Option<Head<'_, P>> {
        let front = self.queue.front().filter(|_| self.running.len() < self.stages)?;
        let together = self
            .queue
            .iter()
            .zip(self.queue.iter().skip(1))
            .take_while(|(before, next)| follows(&before.header, &next.header));
        let rows = together.map(|(_, next)| next.header.rows).sum::<usize>() + front.header.rows
            - self.front_started;
        Some(Head { kind: front.header.kind, rows, payload: &front.payload })
    }

    /// Takes what is to run now, the oldest rows first: appends of one kind that follow each other,
    /// together at most `most_rows`. A prompt is cut there; a verification is not, and the first is
    /// taken whatever its size. `None` as [`head`](Self::head) says, or for 0 rows.
    ///
    /// The payload of a prompt that is cut is cloned.
    pub fn start_next(&mut self, most_rows: usize) -> Option<Run<P>>
    where
        P: Clone,
    {
        self.head().filter(|_| most_rows > 0)?;
        let mut run: Option<Run<P>> = None;
        while let Some(front) = self.queue.front() {
            let header = front.header;
            let taken = run.as_ref().map_or(0, |run| run.rows);
            if run
                .as_ref()
                .and_then(|run| run.pieces.last())
                .is_some_and(|before| !follows(&before.header, &header))
            {
                break;
            }
            let (pos, left) = (header.pos + self.front_started, header.rows - self.front_started);
            let whole = left <= most_rows.saturating_sub(taken)
                || (header.kind == AppendKind::Verify && run.is_none());
            let rows = match (whole, header.kind) {
                (true, _) => left,
                (false, AppendKind::Prompt) => most_rows - taken,
                (false, AppendKind::Verify) => 0,
            };
            if rows == 0 {
                break;
            }
            let payload = if whole {
                self.front_started = 0;
                self.queue.pop_front()?.payload
            } else {
                self.front_started += rows;
                front.payload.clone()
            };
            let run =
                run.get_or_insert_with(|| Run { pos, rows: 0, pieces: Vec::with_capacity(1) });
            run.rows += rows;
            run.pieces.push(Piece { header, pos, rows, payload });
            if !whole {
                break;
            }
        }
        let run = run?;
        self.queued_rows -= run.rows;
        self.running.push_back(Running { end: run.pos + run.rows, stale: false });
        Some(run)
    }

    /// The oldest run has been computed. Whether the answers of the appends that end in it are
    /// wanted: not when the device abandoned them meanwhile.
    pub fn done(&mut self) -> bool {
        let Some(Running { end, stale }) = self.running.pop_front() else { return false };
        self.computed = end;
        !stale
    }

    /// Whether something waits or runs.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !self.running.is_empty()
    }

    /// Rows held once everything accepted has run: the next append starts here or below.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.back().map_or_else(|| self.started_len(), |work| work.header.end())
    }

    /// Whether no row is held or on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether any row has ever started to run.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.started_len() > 0
    }

    /// The newest epoch seen.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Rows accepted and not yet started.
    #[must_use]
    pub fn queued_rows(&self) -> usize {
        self.queued_rows
    }

    /// Rows that [`accept`](Self::accept) would still queue in the current epoch.
    #[must_use]
    pub fn room(&self) -> usize {
        self.limits.max_queued_rows.saturating_sub(self.queued_rows)
    }

    /// The limits this session is held to.
    #[must_use]
    pub fn limits(&self) -> &SessionLimits {
        &self.limits
    }

    fn started_len(&self) -> usize {
        self.running.back().map_or(self.computed, |running| running.end)
    }
}

/// Whether `next` may run together with `before`.
fn follows(before: &AppendHeader, next: &AppendHeader) -> bool {
    next.kind == before.kind && next.pos == before.end()
}

#[cfg(test)]
mod tests;
