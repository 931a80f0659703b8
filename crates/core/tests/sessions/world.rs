//! A device, a cloud and the ordered network between them; every step is one event.

use std::collections::VecDeque;

use tricorn_core::{
    Action, Admission, AppendError, AppendHeader, CloudSession, DeepHeader, DeepUse, DeviceSession, FinishReason, Judgement, SessionConfig,
    SessionLimits,
};

use crate::model::{Layers, Model};

struct Cloud {
    session: CloudSession<Vec<u64>>,
    middle: Layers,
    /// The deep rows of the append that runs.
    running: Option<Vec<u64>>,
    evicted: bool,
}

pub(crate) struct World {
    pub(crate) model: Model,
    pub(crate) device: DeviceSession,
    pub(crate) config: SessionConfig,
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
                self.cloud = Some(Cloud { session: CloudSession::new(limits), middle: Layers::default(), running: None, evicted: false });
            }
            Action::Draft { pos } => {
                let (token, confidence) = self.model.draft(self.device.tokens_at(0, pos));
                self.device.drafted(token, confidence);
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

    /// The cloud starts its next append.
    pub(crate) fn cloud_start(&mut self) -> bool {
        let Some(cloud) = &mut self.cloud else {
            return false;
        };
        let Some(work) = cloud.session.start_next() else {
            return false;
        };
        cloud.running = Some(cloud.middle.forward_at(work.header.pos, &work.payload));
        true
    }

    /// The cloud finishes it.
    pub(crate) fn cloud_done(&mut self) -> bool {
        let Some(cloud) = &mut self.cloud else {
            return false;
        };
        let Some(mut deep) = cloud.running.take() else {
            return false;
        };
        if let Some(header) = cloud.session.done() {
            self.down.push_back((header, deep.split_off(deep.len() - header.rows)));
        }
        true
    }

    /// The oldest answer on the link arrives.
    pub(crate) fn deliver_down(&mut self) -> bool {
        let Some((header, mut rows)) = self.down.pop_front() else {
            return false;
        };
        let use_of = self.device.deep(header).expect("answers match");
        if self.config.output_layers > 0 && matches!(use_of, DeepUse::Extend | DeepUse::Judge { .. }) {
            rows = self.output.forward_at(header.first_row_pos, &rows);
        }
        if let DeepUse::Judge { first_row, pos } = use_of {
            for (pos, &row) in (pos..).zip(&rows[first_row..]) {
                if self.device.judge(self.model.target(row, pos)) == Judgement::Settled {
                    break;
                }
            }
            assert_eq!(self.device.judge(0), Judgement::Settled, "a round has as many rows as it needs");
        }
        true
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
        let Some(cloud) = self.cloud.as_mut().filter(|cloud| cloud.running.is_none() && cloud.session.queued_rows() == 0) else {
            return false;
        };
        cloud.session = CloudSession::new(*cloud.session.limits());
        cloud.middle = Layers::default();
        cloud.evicted = true;
        true
    }

    /// Runs on without further mishaps until the turn is over; the silence of a killed cloud counts as a lost connection.
    pub(crate) fn finish(&mut self) -> FinishReason {
        for _ in 0..100_000 {
            if let Some(reason) = self.device.finished() {
                return reason;
            }
            let steps = [Self::device_step, Self::deliver_up, Self::cloud_start, Self::cloud_done, Self::deliver_down];
            let mut progress = false;
            for step in steps {
                progress |= step(self);
            }
            if !progress {
                assert!(self.cloud.is_none(), "device and cloud wait for each other: {:?}", self.device);
                self.lose();
            }
        }
        panic!("the turn never ends: {:?}", self.device);
    }
}
