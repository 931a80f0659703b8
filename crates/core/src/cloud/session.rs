//! One conversation as the cloud sees it: positions, epochs and a queue, no hidden states.

use std::collections::VecDeque;

use crate::{AppendHeader, DeepHeader, SessionLimits};

/// An append on its way through the cloud, with whatever the caller attached to it (its rows, its time of arrival).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work<P> {
    /// The append as the device sent it. Run it at `header.pos`: the KV cache is truncated there first.
    pub header: AppendHeader,
    /// The caller's own.
    pub payload: P,
}

/// What became of a valid append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It will run after the ones before it, and be answered.
    Queued,
    /// Its epoch was abandoned by the device: dropped, and never answered.
    Stale,
}

/// Why an append ends its session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// No rows.
    #[error("append at position {pos} carries no rows; send at least one")]
    Empty {
        /// The append's position.
        pos: usize,
    },
    /// More rows than one append may carry.
    #[error("append carries {rows} rows, the limit is {limit}; send smaller chunks")]
    TooManyRows {
        /// The append's rows.
        rows: usize,
        /// [`SessionLimits::max_append_rows`].
        limit: usize,
    },
    /// It ends beyond the context.
    #[error("append of {rows} rows at position {pos} ends beyond the context of {context} tokens; shorten the conversation")]
    BeyondContext {
        /// The append's position.
        pos: usize,
        /// The append's rows.
        rows: usize,
        /// [`SessionLimits::context`].
        context: usize,
    },
    /// Rows between the session's end and the append are missing.
    #[error("append at position {pos} leaves a gap, the session holds {len} rows; replay from position {len} or below")]
    Gap {
        /// The append's position.
        pos: usize,
        /// Rows that the session holds once everything accepted has run.
        len: usize,
    },
    /// Too much is waiting already.
    #[error("append of {rows} rows does not fit the queue, {queued} of {limit} rows wait already; await answers before sending more")]
    QueueFull {
        /// The append's rows.
        rows: usize,
        /// Rows accepted and not yet started.
        queued: usize,
        /// [`SessionLimits::max_queued_rows`].
        limit: usize,
    },
}

#[derive(Clone, Copy, Debug)]
struct Running {
    header: AppendHeader,
    stale: bool,
}

/// The cloud's state machine for one session: checks appends, keeps them in order, and says which answers are still wanted.
///
/// Per session, one append runs at a time: [`accept`](Self::accept), then [`start_next`](Self::start_next), compute, [`done`](Self::done).
#[derive(Debug)]
pub struct CloudSession<P = ()> {
    limits: SessionLimits,
    epoch: u32,
    computed: usize,
    running: Option<Running>,
    queue: VecDeque<Work<P>>,
    queued_rows: usize,
}

impl<P> CloudSession<P> {
    /// An empty session that is held to `limits`.
    #[must_use]
    pub fn new(limits: SessionLimits) -> Self {
        Self { limits, epoch: 0, computed: 0, running: None, queue: VecDeque::new(), queued_rows: 0 }
    }

    /// Checks an append and queues it.
    ///
    /// An append of a newer epoch drops everything older that has not started. An append below [`len`](Self::len) truncates when it runs.
    ///
    /// # Errors
    /// When the device broke a limit or left a gap; the session is unchanged, but the device must be told and the session ended, since an
    /// append without an answer would leave the two sides out of step.
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
        let (len, queued) = if abandons { (self.started_len(), 0) } else { (self.len(), self.queued_rows) };
        if pos > len {
            return Err(AppendError::Gap { pos, len });
        }
        if queued.saturating_add(rows) > max_queued_rows {
            return Err(AppendError::QueueFull { rows, queued, limit: max_queued_rows });
        }
        if abandons {
            self.epoch = epoch;
            self.queue.clear();
            if let Some(running) = &mut self.running {
                running.stale = true;
            }
        }
        self.queued_rows = queued + rows;
        self.queue.push_back(Work { header, payload });
        Ok(Admission::Queued)
    }

    /// What [`start_next`](Self::start_next) would hand out; `None` while an append runs or when nothing waits.
    #[must_use]
    pub fn head(&self) -> Option<&Work<P>> {
        if self.running.is_some() { None } else { self.queue.front() }
    }

    /// Takes the oldest waiting append to be run now; `None` while another one runs or when nothing waits.
    pub fn start_next(&mut self) -> Option<Work<P>> {
        if self.running.is_some() {
            return None;
        }
        let work = self.queue.pop_front()?;
        self.queued_rows -= work.header.rows;
        self.running = Some(Running { header: work.header, stale: false });
        Some(work)
    }

    /// The running append has been computed. The header of its answer, or `None` when the device abandoned it meanwhile (or nothing ran):
    /// then nothing is sent.
    pub fn done(&mut self) -> Option<DeepHeader> {
        let Running { header, stale } = self.running.take()?;
        self.computed = header.end();
        (!stale).then(|| header.answer())
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
        self.running.map_or(self.computed, |running| running.header.end())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{AppendKind, Want};

    fn session() -> CloudSession {
        CloudSession::new(SessionLimits { context: 32, max_append_rows: 8, max_queued_rows: 16 })
    }

    fn append(epoch: u32, pos: usize, rows: usize) -> AppendHeader {
        AppendHeader { epoch, pos, rows, want: Want::Last, kind: AppendKind::Prompt }
    }

    #[test]
    fn answers_in_order_one_at_a_time() {
        let mut cloud = session();
        assert_eq!(cloud.accept(append(0, 0, 8), ()), Ok(Admission::Queued));
        assert_eq!(cloud.accept(append(0, 8, 4), ()), Ok(Admission::Queued));
        assert_eq!((cloud.len(), cloud.queued_rows()), (12, 12));
        assert_eq!(cloud.start_next().unwrap().header.pos, 0);
        assert!(cloud.start_next().is_none() && cloud.head().is_none());
        assert_eq!(cloud.done().unwrap(), DeepHeader { epoch: 0, pos: 0, rows: 1, first_row_pos: 7 });
        assert_eq!(cloud.start_next().unwrap().header.pos, 8);
        assert_eq!(cloud.done().unwrap().first_row_pos, 11);
        assert!(cloud.start_next().is_none() && cloud.done().is_none());
    }

    #[test]
    fn an_append_below_the_end_truncates() {
        let mut cloud = session();
        cloud.accept(append(0, 0, 8), ()).unwrap();
        cloud.accept(append(0, 3, 2), ()).unwrap();
        assert_eq!(cloud.len(), 5);
        assert_eq!(cloud.accept(append(0, 6, 1), ()), Err(AppendError::Gap { pos: 6, len: 5 }));
        assert_eq!(cloud.len(), 5);
    }

    #[test]
    fn a_newer_epoch_drops_what_waits_and_silences_what_runs() {
        let mut cloud = session();
        cloud.accept(append(0, 0, 4), ()).unwrap();
        cloud.accept(append(0, 4, 8), ()).unwrap();
        cloud.start_next().unwrap();
        assert_eq!(cloud.accept(append(1, 5, 1), ()), Err(AppendError::Gap { pos: 5, len: 4 }));
        assert_eq!(cloud.queued_rows(), 8);
        assert_eq!(cloud.accept(append(1, 2, 3), ()), Ok(Admission::Queued));
        assert_eq!(cloud.accept(append(0, 12, 1), ()), Ok(Admission::Stale));
        assert_eq!(cloud.done(), None);
        assert_eq!(cloud.start_next().unwrap().header, append(1, 2, 3));
        assert_eq!(cloud.done().unwrap().epoch, 1);
        assert_eq!((cloud.len(), cloud.epoch()), (5, 1));
    }

    #[test]
    fn refuses_what_breaks_a_limit() {
        let mut cloud = session();
        assert_eq!(cloud.accept(append(0, 0, 0), ()), Err(AppendError::Empty { pos: 0 }));
        assert_eq!(cloud.accept(append(0, 0, 9), ()), Err(AppendError::TooManyRows { rows: 9, limit: 8 }));
        assert!(matches!(cloud.accept(append(0, usize::MAX, 2), ()), Err(AppendError::BeyondContext { .. })));
        cloud.accept(append(0, 0, 8), ()).unwrap();
        cloud.accept(append(0, 8, 8), ()).unwrap();
        assert_eq!(cloud.accept(append(0, 16, 1), ()), Err(AppendError::QueueFull { rows: 1, queued: 16, limit: 16 }));
        assert_eq!(cloud.room(), 0);
        assert_eq!(cloud.accept(append(1, 0, 1), ()), Ok(Admission::Queued));
        assert_eq!(cloud.room(), 15);
    }
}
