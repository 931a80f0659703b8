//! A device, a cloud and the ordered network between them; every step is one event.

use std::collections::VecDeque;

use tricorn_core::{
    Action, Admission, AppendError, AppendHeader, Branch, Choice, CloudSession, DeepHeader,
    DeepUse, DeviceSession, Draft, FinishReason, Judgement, Run, Sampler, SessionConfig,
    SessionLimits,
};

use crate::model::{Layers, Model};

struct Cloud {
    session: CloudSession<Vec<u64>>,
    middle: Layers,
    /// What runs, with its deep rows; as many as the middle has stages, in order.
    running: VecDeque<(Run<Vec<u64>>, Vec<u64>)>,
    /// The rows so far of the answer to an append that runs in pieces.
    answer: Vec<u64>,
    evicted: bool,
}

pub(crate) struct World {
    pub(crate) model: Model,
    pub(crate) device: DeviceSession,
    pub(crate) config: SessionConfig,
    /// Of the middle of every cloud to come.
    pub(crate) stages: usize,
    /// The turn's, with the prompt it is for.
    sampler: Option<(Vec<u32>, Sampler)>,
    input: Layers,
    output: Layers,
    cloud: Option<Cloud>,
    up: VecDeque<(AppendHeader, Vec<u64>)>,
    down: VecDeque<(DeepHeader, Vec<u64>)>,
    /// Answers of lost connections.
    late: VecDeque<DeepHeader>,
    /// Every append sent.
    pub(crate) sent: Vec<AppendHeader>,
}

impl World {
    pub(crate) fn new(model: Model, config: SessionConfig) -> Self {
        Self {
            model,
            device: DeviceSession::new(config),
            config,
            stages: 1,
            sampler: None,
            input: Layers::default(),
            output: Layers::default(),
            cloud: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            late: VecDeque::new(),
            sent: Vec::new(),
        }
    }

    /// The device does what its session asks. Whether there was anything to do.
    pub(crate) fn device_step(&mut self) -> bool {
        let action = self.device.poll();
        if !matches!(action, Action::Append(_)) {
            assert_eq!(self.device.poll(), action, "poll is idempotent");
        }
        match action {
            Action::Connect => {
                self.device.connected();
                let SessionConfig { context, max_append_rows, max_queued_rows, .. } = self.config;
                let limits = SessionLimits { context, max_append_rows, max_queued_rows };
                self.cloud = Some(Cloud {
                    session: CloudSession::new(limits).with_stages(self.stages),
                    middle: Layers::default(),
                    running: VecDeque::new(),
                    answer: Vec::new(),
                    evicted: false,
                });
            }
            Action::Draft { pos } => {
                let draft = self.sample(|model, sampler, device, prompt| {
                    model.draft(sampler, device.tokens_at(0, pos), prompt)
                });
                self.device.drafted(draft);
            }
            Action::Guess { pos } => {
                assert!(self.device.awaits_answers(), "nothing is out");
                let guesses = self.sample(|model, sampler, device, prompt| {
                    model.guesses(sampler, device.tokens_at(0, pos), prompt)
                });
                self.device.guessed(guesses);
            }
            Action::Branch => {
                let branches =
                    self.device.open_branches().map(|index| &self.device.branches()[index]);
                let paths: Vec<Vec<u32>> = branches.map(|branch| self.tokens_of(branch)).collect();
                let drafts: Vec<Draft> = paths
                    .iter()
                    .map(|path| {
                        self.sample(|model, sampler, _, prompt| model.draft(sampler, path, prompt))
                    })
                    .collect();
                assert!(!drafts.is_empty());
                self.device.branched(drafts);
            }
            Action::Append(header) => {
                let tokens = self.device.tokens_at(header.pos, header.rows);
                assert_eq!(tokens.len(), header.rows);
                let rows = self.input.forward_at(header.pos, &self.model.embed(tokens));
                self.sent.push(header);
                self.up.push_back((header, rows));
            }
            Action::Wait | Action::Finished(_) => return false,
        }
        true
    }

    /// The oldest append on the link arrives.
    pub(crate) fn deliver_up(&mut self) -> bool {
        let Some((header, rows)) = self.up.pop_front() else {
            return false;
        };
        let Some(cloud) = &mut self.cloud else {
            return true;
        };
        match cloud.session.accept(header, rows) {
            Ok(Admission::Queued | Admission::Stale) => {}
            Err(AppendError::Gap { .. }) if cloud.evicted => return self.lose(),
            Err(error) => panic!("{error}"),
        }
        true
    }

    /// The cloud starts at most `most_rows` of what waits.
    pub(crate) fn cloud_start(&mut self, most_rows: usize) -> bool {
        let Some(cloud) = &mut self.cloud else {
            return false;
        };
        let Some(run) = cloud.session.start_next(most_rows) else {
            return false;
        };
        let rows: Vec<u64> = run
            .pieces
            .iter()
            .flat_map(|piece| &piece.payload[piece.pos - piece.header.pos..][..piece.rows])
            .copied()
            .collect();
        let deep = cloud.middle.forward_at(run.pos, &rows);
        cloud.running.push_back((run, deep));
        true
    }

    /// The cloud finishes the oldest of what runs.
    pub(crate) fn cloud_done(&mut self) -> bool {
        let Some(cloud) = &mut self.cloud else {
            return false;
        };
        let Some((run, deep)) = cloud.running.pop_front() else {
            return false;
        };
        let wanted = cloud.session.done();
        for piece in &run.pieces {
            if piece.is_first() {
                cloud.answer.clear();
            }
            let rows = piece.answer_rows();
            cloud.answer.extend(&deep[rows.start - run.pos..rows.end - run.pos]);
            if piece.is_last() && wanted {
                self.down.push_back((piece.header.answer(), std::mem::take(&mut cloud.answer)));
            }
        }
        true
    }

    /// The oldest answer on the link arrives.
    pub(crate) fn deliver_down(&mut self) -> bool {
        let Some((header, mut rows)) = self.down.pop_front() else {
            return false;
        };
        let use_of = self.device.deep(header).expect("answers match");
        if self.config.output_layers > 0
            && matches!(use_of, DeepUse::Extend | DeepUse::Judge { .. })
        {
            rows = self.output.forward_at(header.first_row_pos, &rows);
        }
        if let DeepUse::Judge { first_row, pos } = use_of {
            self.judge(pos, &rows[first_row..]);
        }
        true
    }

    fn judge(&mut self, pos: usize, rows: &[u64]) {
        let branches = self.device.branches().to_vec();
        for (index, (pos, &row)) in (pos..).zip(rows).enumerate() {
            assert_eq!(pos, self.device.tokens().len());
            let Choice { token, ends, .. } = self
                .sample(|model, sampler, device, _| model.target(sampler, row, device.generated()));
            match if ends { self.device.judge_last(token) } else { self.device.judge(token) } {
                Judgement::Accepted => assert!(index + 1 < rows.len(), "no row is left"),
                Judgement::Pending => {
                    assert_eq!(index + 1, rows.len(), "a row is left");
                    return;
                }
                Judgement::Settled { branch: None } => {
                    assert!(self.device.drafts().is_empty());
                    break;
                }
                Judgement::Settled { branch: Some(branch) } => {
                    let branch = &branches[branch];
                    assert_eq!((branch.pos, branch.token), (pos, token));
                    let drafts: Vec<u32> = branch.drafts.iter().map(|draft| draft.token).collect();
                    assert!(
                        drafts.starts_with(self.device.drafts())
                            && self.device.finished().is_none()
                    );
                    break;
                }
            }
        }
        assert_eq!(
            self.device.judge(0),
            Judgement::Settled { branch: None },
            "a round has as many rows as it needs"
        );
    }

    /// Asks the turn's sampler, which is one and the same for drafts, continuations and target.
    fn sample<T>(
        &mut self,
        ask: impl FnOnce(&Model, &mut Sampler, &DeviceSession, usize) -> T,
    ) -> T {
        let prompt = self.device.tokens().len() - self.device.generated().len();
        let prompt = &self.device.tokens()[..prompt];
        let held = self.sampler.take().filter(|(held, _)| held == prompt);
        let (_, sampler) = self
            .sampler
            .insert(held.unwrap_or_else(|| (prompt.to_vec(), self.model.sampler(prompt))));
        ask(&self.model, sampler, &self.device, prompt.len())
    }

    /// The whole sequence up to a continuation's last draft.
    fn tokens_of(&self, branch: &Branch) -> Vec<u32> {
        let mut tokens = self.device.tokens_at(0, branch.pos).to_vec();
        assert_eq!(tokens.len(), branch.pos);
        tokens.push(branch.token);
        tokens.extend(branch.drafts.iter().map(|draft| draft.token));
        tokens
    }

    /// An answer of a lost connection arrives after all.
    pub(crate) fn deliver_late(&mut self) -> bool {
        let Some(header) = self.late.pop_front() else {
            return false;
        };
        assert_eq!(self.device.deep(header), Ok(DeepUse::Stale));
        true
    }

    /// The cloud dies; the device does not know yet.
    pub(crate) fn kill_cloud(&mut self) -> bool {
        self.cloud = None;
        self.up.clear();
        true
    }

    /// The connection ends on both sides.
    pub(crate) fn lose(&mut self) -> bool {
        self.kill_cloud();
        self.late.extend(self.down.drain(..).map(|(header, _)| header));
        self.device.disconnected();
        true
    }

    /// The cloud drops an idle session's rows without telling.
    pub(crate) fn evict(&mut self) -> bool {
        let Some(cloud) = self.cloud.as_mut().filter(|cloud| !cloud.session.is_busy()) else {
            return false;
        };
        cloud.session = CloudSession::new(*cloud.session.limits()).with_stages(self.stages);
        cloud.middle = Layers::default();
        cloud.evicted = true;
        true
    }

    /// Runs on without further mishaps until the turn is over; the silence of a killed cloud counts
    /// as a lost connection.
    pub(crate) fn finish(&mut self) -> FinishReason {
        for _ in 0..100_000 {
            if let Some(reason) = self.device.finished() {
                return reason;
            }
            let cloud_start = |world: &mut Self| world.cloud_start(usize::MAX);
            let steps = [
                Self::device_step,
                Self::deliver_up,
                cloud_start,
                Self::cloud_done,
                Self::deliver_down,
            ];
            let mut progress = false;
            for step in steps {
                progress |= step(self);
            }
            if !progress {
                assert!(
                    self.cloud.is_none(),
                    "device and cloud wait for each other: {:?}",
                    self.device
                );
                self.lose();
            }
        }
        panic!("the turn never ends: {:?}", self.device);
    }
}
