//! World of a device, a cloud and the ordered network between them; every step is one event.

use std::collections::VecDeque;

use tricorn_core::{
    Admission, AppendError, AppendHeader, CloudSession, DeepHeader, DeepUse, FinishReason, Run,
    SessionConfig, SessionLimits,
};

use crate::sessions::{
    device::{Device, Step},
    model::{Layers, Model},
};

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
    pub(crate) device: Device,
    /// Of the middle of every cloud to come.
    pub(crate) stages: usize,
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
            device: Device::new(model, config),
            stages: 1,
            cloud: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            late: VecDeque::new(),
            sent: Vec::new(),
        }
    }

    /// The device does what its session asks. Whether there was anything to do.
    pub(crate) fn device_step(&mut self) -> bool {
        match self.device.step() {
            Step::Connect => {
                self.device.session.connected();
                let SessionConfig { context, max_append_rows, max_queued_rows, .. } =
                    self.device.config;
                let limits = SessionLimits { context, max_append_rows, max_queued_rows };
                self.cloud = Some(Cloud {
                    session: CloudSession::new(limits).with_stages(self.stages),
                    middle: Layers::default(),
                    running: VecDeque::new(),
                    answer: Vec::new(),
                    evicted: false,
                });
            }
            Step::Append(header, rows) => {
                self.sent.push(header);
                self.up.push_back((header, rows));
            }
            Step::Draft(_) => {}
            Step::Idle => return false,
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
        let Some((header, rows)) = self.down.pop_front() else {
            return false;
        };
        self.device.answered(header, rows);
        true
    }

    /// An answer of a lost connection arrives after all.
    pub(crate) fn deliver_late(&mut self) -> bool {
        let Some(header) = self.late.pop_front() else {
            return false;
        };
        assert_eq!(self.device.session.deep(header), Ok(DeepUse::Stale));
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
        self.device.session.disconnected();
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
            if let Some(reason) = self.device.session.finished() {
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
                    self.device.session
                );
                self.lose();
            }
        }
        panic!("the turn never ends: {:?}", self.device.session);
    }
}
