//! Cloud under a virtual clock: drives the core's schedulers, with hashes for rows.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    rc::Rc,
    time::Duration,
};

use tricorn_core::{
    AnswerTiming, AppendHeader, AppendKind, Arrival, CloudThroughput, DeepHeader, HandOver,
    InFlightBatch, Member, Scheduler, SchedulerConfig, SessionLimits, StageEntry, StageJob, Took,
};

use super::stage::{Onward, Stage, StageDone, StageRows, Trouble};
use crate::sessions::model::Layers;

/// Time on the way between two stages.
const HOP: Duration = Duration::from_millis(1);
/// Time after which a lost connection between two stages is tried anew.
const REDIAL: Duration = Duration::from_millis(500);

/// What a cloud is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CloudPlan {
    pub(crate) scheduler: SchedulerConfig,
    pub(crate) limits: SessionLimits,
    pub(crate) stages: usize,
    /// What a batch takes in each stage.
    pub(crate) base: Duration,
    pub(crate) per_row: Duration,
}

/// What happens in a cloud later on.
pub(crate) enum CloudEvent {
    /// A stage is done with its batch of this number.
    Computed { stage: usize, run: u64 },
    /// A batch arrives at a stage.
    ToStage { stage: usize, job: StageJob<StageRows> },
    /// A batch is back from a stage.
    FromStage { stage: usize, answer: StageDone },
    /// A stage is dialled again.
    Redial { stage: usize },
}

/// What a device hears.
pub(crate) enum Heard {
    Opened(CloudThroughput),
    Deep {
        header: DeepHeader,
        rows: Vec<u64>,
        timing: AnswerTiming,
        throughput: CloudThroughput,
    },
    /// The session has ended.
    Ended,
}

pub(crate) struct Cloud {
    plan: CloudPlan,
    scheduler: Scheduler<Rc<Vec<u64>>>,
    caches: BTreeMap<u64, Layers>,
    sessions: BTreeMap<u64, Session>,
    running: Option<(u64, InFlightBatch, Vec<u64>, Took)>,
    later: Vec<Stage>,
    runs: u64,
    lanes: u64,
    draining: bool,
    pub(crate) trouble: Trouble,
    /// The next batch takes longer by this.
    pub(crate) stall: Duration,
    pub(crate) events: Vec<(Duration, CloudEvent)>,
    pub(crate) heard: Vec<(u64, Heard)>,
}

#[derive(Default)]
struct Session {
    answer: Vec<u64>,
    /// Appends that arrived and were not answered, oldest first.
    owed: VecDeque<AppendHeader>,
    newest: u32,
}

impl Cloud {
    pub(crate) fn new(plan: CloudPlan) -> Self {
        let later = (1..plan.stages).map(|_| Stage::new());
        let mut cloud = Self {
            plan,
            scheduler: Scheduler::new(plan.scheduler),
            caches: BTreeMap::new(),
            sessions: BTreeMap::new(),
            running: None,
            later: later.collect(),
            runs: 0,
            lanes: 0,
            draining: false,
            trouble: Trouble::default(),
            stall: Duration::ZERO,
            events: Vec::new(),
            heard: Vec::new(),
        };
        for stage in (1..plan.stages).rev() {
            assert!(cloud.connect(stage));
        }
        cloud
    }

    pub(crate) fn stages(&self) -> usize {
        self.plan.stages
    }

    pub(crate) fn drain(&mut self) {
        self.draining = true;
        self.scheduler.drain();
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.scheduler.is_drained()
    }

    pub(crate) fn open(&mut self, session: u64, now: Duration) {
        if self.scheduler.open(session, self.plan.limits, now).is_err() {
            return self.heard.push((session, Heard::Ended));
        }
        self.caches.insert(session, Layers::default());
        self.sessions.insert(session, Session::default());
        self.heard.push((session, Heard::Opened(self.scheduler.report().throughput(true, now))));
    }

    pub(crate) fn append(
        &mut self,
        session: u64,
        header: AppendHeader,
        rows: Vec<u64>,
        now: Duration,
    ) {
        // While draining nothing more is accepted: the session ends soon, and its device hears so.
        if let Some(known) = self.sessions.get_mut(&session).filter(|_| !self.draining) {
            known.newest = known.newest.max(header.epoch);
            known.owed.push_back(header);
        }
        let arrival = Arrival { at: now, received: None };
        self.scheduler.append(session, header, Rc::new(rows), arrival).expect("a good append");
    }

    /// Ends a session and says nothing.
    pub(crate) fn forget(&mut self, session: u64) {
        self.trouble.disturbed = true;
        self.scheduler.end(session);
        self.caches.remove(&session);
        self.sessions.remove(&session);
    }

    /// Ends a session and tells its device.
    pub(crate) fn fail(&mut self, session: u64) {
        if self.sessions.contains_key(&session) {
            self.forget(session);
            self.heard.push((session, Heard::Ended));
        }
    }

    /// Every append that is still owed was abandoned by its device.
    pub(crate) fn assert_nothing_is_owed(&self) {
        for session in self.sessions.values() {
            session.assert_nothing_is_owed();
        }
    }

    /// Starts what can start.
    pub(crate) fn poll(&mut self, now: Duration) {
        if self.running.is_none() && self.scheduler.has_work() {
            self.start(now);
        }
        for stage in 1..self.plan.stages {
            self.poll_stage(stage, now);
        }
        for session in self.scheduler.end_the_answered() {
            self.sessions.remove(&session).expect("a session").assert_nothing_is_owed();
            self.caches.remove(&session);
            self.heard.push((session, Heard::Ended));
        }
    }

    pub(crate) fn happens(&mut self, event: CloudEvent, now: Duration) {
        match event {
            CloudEvent::Computed { stage: 0, run } => self.computed(run, now),
            CloudEvent::Computed { stage, run } => self.computed_there(stage, run, now),
            CloudEvent::ToStage { stage, job } => self.later[stage - 1].scheduler.push(job),
            CloudEvent::FromStage { stage, answer } => self.returned(stage, answer, now),
            CloudEvent::Redial { stage } => {
                if !self.connect(stage) {
                    self.events.push((now + REDIAL, CloudEvent::Redial { stage }));
                }
            }
        }
    }

    fn took(&mut self, rows: usize) -> Took {
        let rows = u32::try_from(rows).unwrap();
        let time = self.plan.base + self.plan.per_row * rows + mem::take(&mut self.stall);
        Took { time: if rows == 0 { Duration::ZERO } else { time }, overran: false }
    }

    fn start(&mut self, now: Duration) {
        let (mut refused, mut x) = (Vec::new(), Vec::new());
        let formed = self.scheduler.form(now);
        let batch = formed.admit(|member| {
            if self.trouble.refusals > 0 {
                self.trouble.refusals -= 1;
                refused.push(member.session());
                return false;
            }
            let rows: Vec<u64> =
                member.pieces().flat_map(|(rows, range)| rows[range].to_vec()).collect();
            assert_eq!(rows.len(), member.rows());
            let cache = self.caches.get_mut(&member.session()).expect("a cache");
            x.extend(cache.forward_at(member.pos(), &rows));
            true
        });
        refused.into_iter().for_each(|session| self.fail(session));
        let took = self.took(batch.rows());
        self.runs += 1;
        let run = self.runs;
        self.events.push((now + took.time, CloudEvent::Computed { stage: 0, run }));
        self.running = Some((run, batch, x, took));
    }

    fn computed(&mut self, run: u64, now: Duration) {
        let Some((_, mut batch, x, took)) = self.running.take_if(|running| running.0 == run) else {
            return;
        };
        self.scheduler.computed(&mut batch, took, now);
        if self.scheduler.has_later_stages() {
            let entries = batch.entries().collect();
            let handed = self.scheduler.hand_over(batch).expect("a connection");
            return self.send_on(1, handed, entries, x, now);
        }
        for member in batch.members() {
            self.answer(&batch, member, &x[member.answer_rows()], now);
        }
    }

    fn answer(&mut self, batch: &InFlightBatch, member: &Member, rows: &[u64], now: Duration) {
        let id = member.session();
        for part in self.scheduler.answer(batch, member, now) {
            let session = self.sessions.get_mut(&id).expect("a session");
            if part.begins {
                session.answer.clear();
            }
            session.answer.extend(&rows[part.rows]);
            let Some(answer) = part.answer else { continue };
            let (header, timing) = (answer.header, answer.timing);
            session.pay(header);
            let rows = mem::take(&mut session.answer);
            assert_eq!(rows.len(), header.rows);
            assert!(timing.compute <= now && timing.queue <= now);
            let with_delay = answer.kind == AppendKind::Prompt;
            let throughput = self.scheduler.report().throughput(with_delay, now);
            self.heard.push((id, Heard::Deep { header, rows, timing, throughput }));
        }
    }

    fn send_on(
        &mut self,
        stage: usize,
        handed: HandOver,
        entries: Vec<StageEntry>,
        x: Vec<u64>,
        now: Duration,
    ) {
        let job = StageJob {
            lane: self.later[stage - 1].lane,
            id: handed.number,
            entries,
            closed: handed.closed,
            arrived: now + HOP,
            payload: StageRows { x, failed: Vec::new() },
        };
        self.events.push((now + HOP, CloudEvent::ToStage { stage, job }));
    }

    fn poll_stage(&mut self, stage: usize, now: Duration) {
        if self.later[stage - 1].can_start() {
            let job = self.later[stage - 1].start(now, &mut self.trouble);
            let took = self.took(job.rows());
            self.runs += 1;
            let run = self.runs;
            self.events.push((now + took.time, CloudEvent::Computed { stage, run }));
            self.later[stage - 1].run(run, job, took);
        }
        if let Some(news) = self.later[stage - 1].scheduler.news() {
            self.send_on(stage + 1, news, Vec::new(), Vec::new(), now);
        }
    }

    fn computed_there(&mut self, stage: usize, run: u64, now: Duration) {
        match self.later[stage - 1].computed(run) {
            Some(Onward::Next { handed, entries, x }) => {
                self.send_on(stage + 1, handed, entries, x, now);
            }
            Some(Onward::Back(answer)) => self.send_back(stage, answer, now),
            None => {}
        }
    }

    fn send_back(&mut self, stage: usize, answer: StageDone, now: Duration) {
        self.events.push((now + HOP, CloudEvent::FromStage { stage, answer }));
    }

    fn returned(&mut self, stage: usize, answer: StageDone, now: Duration) {
        if answer.lane != self.later[stage - 1].lane {
            return;
        }
        if stage > 1 {
            if let Some(answer) = self.later[stage - 2].returned(answer) {
                self.send_back(stage - 1, answer, now);
            }
            return;
        }
        let StageDone { id, rows, failed, queue, .. } = answer;
        let Some(batch) = self.scheduler.returned(id, queue, now) else { return };
        failed.iter().for_each(|&session| self.fail(session));
        let mut rest = rows.as_slice();
        for member in batch.members().iter().filter(|member| !failed.contains(&member.session())) {
            let (own, behind) = rest.split_at(member.answer_rows().len());
            rest = behind;
            self.answer(&batch, member, own, now);
        }
        assert!(rest.is_empty());
    }

    /// The connection to a stage is lost, and with it everything before that stage.
    pub(crate) fn lose(&mut self, stage: usize, now: Duration) {
        self.later[stage - 1].lose_lane();
        self.events.push((now + REDIAL, CloudEvent::Redial { stage }));
        if stage > 1 {
            self.later[stage - 2].lose_next();
            return self.lose(stage - 1, now);
        }
        self.running = None;
        self.scheduler.stage_lost();
        self.caches.clear();
        for session in mem::take(&mut self.sessions).into_keys() {
            self.heard.push((session, Heard::Ended));
        }
    }

    /// Whether the stage could be reached, or was there all the time.
    fn connect(&mut self, stage: usize) -> bool {
        if self.later[stage - 1].lane != 0 {
            return true;
        }
        let lane = self.lanes + 1;
        let there = &mut self.later[stage - 1];
        let Some(stages) = there.scheduler.open(lane, self.plan.limits.context, 64) else {
            return false;
        };
        (self.lanes, there.lane) = (lane, lane);
        match stage {
            1 => self.scheduler.stage_connected(stages, stages + 1),
            _ => self.later[stage - 2].scheduler.stage_connected(stages, stages + 1),
        }
        true
    }
}

impl Session {
    /// `header` answers the oldest append that its device has not abandoned.
    fn pay(&mut self, header: DeepHeader) {
        assert_eq!(header.epoch, self.newest, "what a device has abandoned is not answered");
        while let Some(owed) = self.owed.pop_front() {
            if owed.answer() == header {
                return;
            }
            assert!(owed.epoch < self.newest, "{owed:?} was passed over for {header:?}");
        }
        panic!("{header:?} answers nothing, or for the second time");
    }

    fn assert_nothing_is_owed(&self) {
        assert!(self.owed.iter().all(|owed| owed.epoch < self.newest), "{:?}", self.owed);
    }
}
