//! Later stage under a virtual clock: drives the core's stage scheduler, with hashes for rows.

use std::{collections::BTreeMap, mem, time::Duration};

use tricorn_core::{
    EntryError, HandOver, InFlightJob, StageEntry, StageScheduler, StartedJob, Took,
};

use crate::sessions::model::Layers;

/// What a stage needs with a batch.
pub(crate) struct StageRows {
    pub(crate) x: Vec<u64>,
    pub(crate) failed: Vec<u64>,
}

/// A batch that comes back.
pub(crate) struct StageDone {
    pub(crate) lane: u64,
    pub(crate) id: u64,
    pub(crate) rows: Vec<u64>,
    pub(crate) failed: Vec<u64>,
    pub(crate) compute: Duration,
    pub(crate) queue: Duration,
}

/// Where a batch goes that was computed.
pub(crate) enum Onward {
    Next { handed: HandOver, entries: Vec<StageEntry>, x: Vec<u64> },
    Back(StageDone),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    /// So many times there is no memory for a session's rows.
    pub(crate) refusals: usize,
    /// Whether any session ended while it had work.
    pub(crate) disturbed: bool,
}

type Job = InFlightJob<StageRows>;

/// A stage behind the first.
pub(crate) struct Stage {
    pub(crate) scheduler: StageScheduler<StageRows>,
    caches: BTreeMap<u64, Layers>,
    running: Option<(u64, Job, Took)>,
    /// The connection to the stage before it; 0 for none.
    pub(crate) lane: u64,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self { scheduler: StageScheduler::new(), caches: BTreeMap::new(), running: None, lane: 0 }
    }

    /// The stage before it is gone, and with it all that is on its way.
    pub(crate) fn lose_lane(&mut self) {
        for name in self.scheduler.close(self.lane) {
            self.caches.remove(&name);
        }
        (self.lane, self.running) = (0, None);
    }

    /// The stage behind it is gone.
    pub(crate) fn lose_next(&mut self) {
        self.scheduler.stage_lost();
        self.caches.clear();
    }

    pub(crate) fn can_start(&self) -> bool {
        self.running.is_none() && self.scheduler.has_work()
    }

    /// The next batch, with its rows through the layers here.
    pub(crate) fn start(&mut self, now: Duration, trouble: &mut Trouble) -> Job {
        let StartedJob { mut job, entries, ended } = self.scheduler.start(now).expect("a batch");
        ended.iter().for_each(|name| drop(self.caches.remove(name)));
        let mut rows = mem::take(&mut job.payload.x).into_iter();
        for entry in entries {
            let own: Vec<u64> = rows.by_ref().take(entry.rows).collect();
            let Some(name) = self.admit(&job, &entry, trouble) else {
                self.end(&mut job, entry.session);
                continue;
            };
            let cache = self.caches.get_mut(&name).expect("a cache");
            job.payload.x.extend(cache.forward_at(entry.pos, &own));
            job.entries.push((entry, name));
        }
        job
    }

    fn admit(&mut self, job: &Job, entry: &StageEntry, trouble: &mut Trouble) -> Option<u64> {
        let admitted = match self.scheduler.admit(job.lane, entry) {
            Ok(admitted) => admitted,
            // The session has ended while these rows were on their way.
            Err(EntryError::Gap { .. }) if trouble.disturbed => return None,
            Err(error) => panic!("{error}"),
        };
        if admitted.is_new {
            self.caches.insert(admitted.name, Layers::default());
        }
        if trouble.refusals > 0 {
            trouble.refusals -= 1;
            trouble.disturbed = true;
            return None;
        }
        Some(admitted.name)
    }

    /// The batch takes so long.
    pub(crate) fn run(&mut self, run: u64, job: Job, took: Took) {
        self.running = Some((run, job, took));
    }

    /// The batch is done, unless its run was given up.
    pub(crate) fn computed(&mut self, run: u64) -> Option<Onward> {
        let (_, mut job, took) = self.running.take_if(|running| running.0 == run)?;
        self.scheduler.computed(&mut job, took);
        let x = mem::take(&mut job.payload.x);
        if self.scheduler.has_later_stages() {
            let entries = job.entries_onward().collect();
            let handed = self.scheduler.hand_over(job).expect("a connection");
            return Some(Onward::Next { handed, entries, x });
        }
        let (mut rows, mut end) = (Vec::new(), 0);
        for (entry, _) in &job.entries {
            end += entry.rows;
            rows.extend(&x[end - entry.answer_rows..end]);
        }
        Some(Onward::Back(done(job, rows)))
    }

    /// The stage behind it is done with a batch.
    pub(crate) fn returned(&mut self, answer: StageDone) -> Option<StageDone> {
        let StageDone { id, rows, failed, compute, queue, .. } = answer;
        let mut job = self.scheduler.returned(id, compute, queue)?;
        for name in failed {
            let session = job.session_of(name).expect("a session of the batch");
            self.end(&mut job, session);
        }
        Some(done(job, rows))
    }

    /// A session cannot be computed here or behind.
    fn end(&mut self, job: &mut Job, session: u64) {
        if let Some(name) = self.scheduler.end(job.lane, session) {
            self.caches.remove(&name);
        }
        job.payload.failed.push(session);
    }
}

fn done(job: Job, rows: Vec<u64>) -> StageDone {
    let InFlightJob { lane, id, compute, queue, payload, .. } = job;
    StageDone { lane, id, rows, failed: payload.failed, compute, queue }
}
