//! Stage scheduler: decides for a later stage of a middle, which runs the batches that earlier
//! stages send, in order.

mod entry;
mod lane;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{
    later::{HandOver, LaterStages},
    monitor::{Figures, Took},
};
use crate::DelayModel;
use lane::Lane;

pub use entry::{Admitted, EntryError, StageEntry};

/// A batch that an earlier stage sent.
#[derive(Debug)]
pub struct StageJob<T> {
    /// Lane of the upstream that sent it.
    pub lane: u64,
    /// The batch, as the earlier stage names it.
    pub id: u64,
    /// Entries of the sessions whose rows are in the batch, in order.
    pub entries: Vec<StageEntry>,
    /// Sessions that ended since the batch before.
    pub closed: Vec<u64>,
    /// When it arrived, since the driver's origin.
    pub arrived: Duration,
    /// What the driver needs with it.
    pub payload: T,
}

/// A batch that runs here or in a stage behind.
#[derive(Debug)]
pub struct InFlightJob<T> {
    /// Lane of the upstream that sent it.
    pub lane: u64,
    /// The batch, as the earlier stage names it.
    pub id: u64,
    /// The entries that run, each with its session's name here and in the stages behind.
    pub entries: Vec<(StageEntry, u64)>,
    /// What it took so far, in all stages from here on.
    pub compute: Duration,
    /// What it waited so far, in all stages from here on.
    pub queue: Duration,
    /// What the driver needs with it.
    pub payload: T,
}

/// A batch whose turn it is.
#[derive(Debug)]
pub struct StartedJob<T> {
    /// The batch, without an entry yet.
    pub job: InFlightJob<T>,
    /// Entries that want to take part, in order. Each is to be [admitted](StageScheduler::admit).
    pub entries: Vec<StageEntry>,
    /// Names of sessions that have ended: their rows can be forgotten.
    pub ended: Vec<u64>,
}

/// The scheduler of a later stage.
///
/// Earlier stages, each in a lane of its own, send batches that they have formed; a driver that
/// owns model, KV caches and clock runs them in order of arrival, one at a time:
/// [`start`](Self::start), [`admit`](Self::admit) each entry, run those admitted, then
/// [`computed`](Self::computed). Where stages follow, a batch is [handed over](Self::hand_over) and
/// is [back](Self::returned) later. `T` is what the driver needs with a batch: its rows.
///
/// Functions that end sessions give the sessions' names, so that the driver frees their KV caches.
#[derive(Debug)]
pub struct StageScheduler<T> {
    lanes: BTreeMap<u64, Lane>,
    waiting: VecDeque<StageJob<T>>,
    /// `None` is a batch of ours that only names ended sessions.
    later: LaterStages<Option<InFlightJob<T>>>,
    /// Names drawn so far.
    names: u64,
    /// What batches take here.
    delay: DelayModel,
    figures: Figures,
}

impl<T> Default for StageScheduler<T> {
    fn default() -> Self {
        Self {
            lanes: BTreeMap::new(),
            waiting: VecDeque::new(),
            later: LaterStages::none(),
            names: 0,
            delay: DelayModel::default(),
            figures: Figures::default(),
        }
    }
}

impl<T> StageScheduler<T> {
    /// The middle's last stage, with nobody before it yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An earlier stage comes, with at most `max_sessions` sessions at a time of at most `context`
    /// positions each. Gives the number of stages from here to the last; `None`, and no lane, when
    /// the next stage is lost.
    pub fn open(&mut self, lane: u64, context: usize, max_sessions: usize) -> Option<usize> {
        if self.later.are_lost() {
            return None;
        }
        self.lanes.insert(lane, Lane::new(context, max_sessions));
        Some(1 + self.later.count())
    }

    /// A batch arrives. Of a lane that is not there it is dropped.
    pub fn push(&mut self, job: StageJob<T>) {
        if self.lanes.contains_key(&job.lane) {
            self.waiting.push_back(job);
        }
    }

    /// A lane ends, and with it its batches; the names of its sessions.
    pub fn close(&mut self, lane: u64) -> Vec<u64> {
        self.waiting.retain(|job| job.lane != lane);
        let names = self.lanes.remove(&lane).map(Lane::into_names).unwrap_or_default();
        names.iter().for_each(|&name| self.later.forget(name));
        names
    }

    /// A session ends, because it cannot be computed here or behind; its name, if it was there.
    pub fn end(&mut self, lane: u64, session: u64) -> Option<u64> {
        let name = self.lanes.get_mut(&lane)?.remove(session)?;
        self.later.forget(name);
        Some(name)
    }

    /// The next stage can be reached: `stages` stages follow, and `window` batches may be out with
    /// them at a time. Every lane has ended.
    pub fn stage_connected(&mut self, stages: usize, window: usize) {
        self.end_all();
        self.later.connect(stages, window);
    }

    /// The next stage is lost, and with it everybody's rows. Every lane has ended.
    pub fn stage_lost(&mut self) {
        self.end_all();
        self.later.lose();
    }

    fn end_all(&mut self) {
        self.lanes.clear();
        self.waiting.clear();
    }

    /// Whether a batch should be [started](Self::start) now.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.waiting.is_empty() && self.later.take_another()
    }

    /// Starts the oldest batch that waits.
    pub fn start(&mut self, now: Duration) -> Option<StartedJob<T>> {
        let StageJob { lane, id, entries, closed, arrived, payload } = self.waiting.pop_front()?;
        let ended = closed.into_iter().filter_map(|session| self.end(lane, session)).collect();
        let job = InFlightJob {
            lane,
            id,
            entries: Vec::with_capacity(entries.len()),
            compute: Duration::ZERO,
            queue: now.saturating_sub(arrived),
            payload,
        };
        Some(StartedJob { job, entries, ended })
    }

    /// Counts the rows of `entry` as held. When the driver has memory for them, it adds the entry
    /// to its batch's; when not, it reports the session's [end](Self::end).
    ///
    /// # Errors
    /// When the entry does not fit what is held. The driver reports the session's end.
    pub fn admit(&mut self, lane: u64, entry: &StageEntry) -> Result<Admitted, EntryError> {
        let lane = self.lanes.get_mut(&lane).ok_or(EntryError::NoLane)?;
        lane.admit(entry, &mut self.names)
    }

    /// What a batch of `rows` rows should take here; `None` before anything was measured.
    #[must_use]
    pub fn expected(&self, rows: usize) -> Option<Duration> {
        self.delay.at(rows)
    }

    /// The model has run `job`, or failed to. A batch without entries did not have to run.
    pub fn computed(&mut self, job: &mut InFlightJob<T>, took: Took) {
        let rows = job.rows();
        job.compute = job.compute.saturating_add(took.time);
        if rows > 0 {
            self.delay.observe(rows, took.time);
            self.figures.count(rows, took.overran);
        }
    }

    /// Hands a batch over to the next stage; `None` when there is no way to it.
    pub fn hand_over(&mut self, job: InFlightJob<T>) -> Option<HandOver> {
        self.later.hand_over(Some(job))
    }

    /// Names of ended sessions that the next stage must be told in a batch of their own: their KV
    /// caches must not stay there until somebody else comes.
    pub fn news(&mut self) -> Option<HandOver> {
        let due = self.waiting.is_empty() && self.later.want_news();
        due.then(|| self.later.hand_over(None)).flatten()
    }

    /// The batch `number` is back from the next stage, where and behind which it took `compute` and
    /// waited for `queue`. `None` when nobody wants to know any more.
    pub fn returned(
        &mut self,
        number: u64,
        compute: Duration,
        queue: Duration,
    ) -> Option<InFlightJob<T>> {
        let mut job = self.later.returned(number)??;
        self.lanes.get(&job.lane)?;
        job.compute = job.compute.saturating_add(compute);
        job.queue = job.queue.saturating_add(queue);
        Some(job)
    }

    /// Whether this is not the middle's last stage.
    #[must_use]
    pub fn has_later_stages(&self) -> bool {
        self.later.exist()
    }

    /// What was computed so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.figures
    }
}

impl<T> InFlightJob<T> {
    /// Rows of all entries.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.entries.iter().map(|(entry, _)| entry.rows).sum()
    }

    /// The entries as the next stage is told of them.
    pub fn entries_onward(&self) -> impl Iterator<Item = StageEntry> {
        self.entries.iter().map(|&(entry, name)| StageEntry { session: name, ..entry })
    }

    /// The session that `name` stands for here and behind.
    #[must_use]
    pub fn session_of(&self, name: u64) -> Option<u64> {
        let mut entries = self.entries.iter();
        entries.find(|(_, known)| *known == name).map(|(entry, _)| entry.session)
    }
}

#[cfg(test)]
mod tests;
