//! Client of the cloud: a device with its link, its turns and its measurements.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tricorn_core::{
    Answered, AppendHeader, DeviceMonitor, FinishReason, SessionConfig, TurnOptions,
};

use super::{cloud::Heard, link::Direction};
use crate::sessions::{device::Device, model::Model};

/// Bytes of a row on the wire, as the device is told.
const ROW_BYTES: usize = 512;

/// One turn to come.
#[derive(Clone, Debug)]
pub(crate) struct TurnPlan {
    /// Of the conversation so far, the share that the prompt keeps, in quarters.
    pub(crate) kept_quarters: usize,
    pub(crate) suffix: Vec<u32>,
    pub(crate) options: TurnOptions,
    /// The time before it begins.
    pub(crate) pause: Duration,
}

/// What a device and its link are like.
#[derive(Clone, Debug)]
pub(crate) struct ClientPlan {
    pub(crate) turns: Vec<TurnPlan>,
    pub(crate) up: Direction,
    pub(crate) down: Direction,
    /// What its first layers take for a row.
    pub(crate) shallow: Duration,
    /// What a draft takes.
    pub(crate) draft: Duration,
}

pub(crate) struct Client {
    pub(crate) device: Device,
    pub(crate) up: Direction,
    pub(crate) down: Direction,
    pub(crate) shallow: Duration,
    pub(crate) draft: Duration,
    /// The number of its connection, and whether the cloud has opened a session on it.
    pub(crate) connection: Option<(u64, bool)>,
    /// When anything was sent or heard last.
    pub(crate) progress: Duration,
    /// Whether it will be ready again by itself.
    pub(crate) busy: bool,
    turns: VecDeque<TurnPlan>,
    /// The prompt of the turn under way, and the text that it must give.
    expected: Option<(Vec<u32>, Vec<u32>)>,
    monitor: DeviceMonitor,
    turn_start: Duration,
    dialled: Duration,
    sent: BTreeMap<(u32, usize), (usize, Duration)>,
}

impl Client {
    pub(crate) fn new(model: Model, config: SessionConfig, plan: ClientPlan) -> Self {
        Self {
            device: Device::new(model, config),
            up: plan.up,
            down: plan.down,
            shallow: plan.shallow,
            draft: plan.draft,
            connection: None,
            progress: Duration::ZERO,
            busy: false,
            turns: plan.turns.into(),
            expected: None,
            monitor: DeviceMonitor::new(),
            turn_start: Duration::ZERO,
            dialled: Duration::ZERO,
            sent: BTreeMap::new(),
        }
    }

    /// Whether all turns are over.
    pub(crate) fn is_done(&self) -> bool {
        self.expected.is_none() && self.turns.is_empty()
    }

    /// Whether something must be heard before it can go on.
    pub(crate) fn waits(&self) -> bool {
        self.connection.is_some_and(|(_, opened)| !opened) || self.device.session.awaits_answers()
    }

    /// Ends the turn that is over, if one is; the pause before the next.
    pub(crate) fn end_turn(&mut self) -> Option<Duration> {
        self.device.session.finished()?;
        if let Some((prompt, text)) = self.expected.take() {
            let session = &self.device.session;
            assert!(session.finished() != Some(FinishReason::Cancelled));
            assert_eq!(session.generated(), text, "the reference's text");
            assert_eq!(session.tokens(), [prompt, text].concat());
        }
        self.turns.front().map(|turn| turn.pause)
    }

    /// Whether a turn begins.
    pub(crate) fn begin_turn(&mut self, now: Duration) -> bool {
        if self.expected.is_some() {
            return false;
        }
        let Some(TurnPlan { kept_quarters, suffix, options, .. }) = self.turns.pop_front() else {
            return false;
        };
        let Device { model, session, config, .. } = &mut self.device;
        let held = session.tokens();
        let mut prompt = held[..held.len() * kept_quarters / 4].to_vec();
        prompt.extend(suffix);
        prompt.truncate(config.context - 1);
        if prompt.is_empty() {
            prompt.push(1);
        }
        let text = model.reference(&prompt, &options, config.context);
        session.start_turn(prompt.clone(), options).unwrap();
        self.expected = Some((prompt, text));
        self.turn_start = now;
        true
    }

    pub(crate) fn dials(&mut self, connection: u64, now: Duration) {
        self.connection = Some((connection, false));
        (self.dialled, self.progress) = (now, now);
        self.sent.clear();
    }

    /// It hands an append over to its link.
    pub(crate) fn sends(&mut self, header: AppendHeader, computed: Duration, now: Duration) {
        self.monitor.shallow(header.rows, computed);
        self.monitor.sent(header.rows, (header.rows * ROW_BYTES) as u64);
        self.sent.insert((header.epoch, header.pos), (header.rows, now));
        self.progress = now;
    }

    pub(crate) fn drafted(&mut self, branches: usize, time: Duration) {
        self.monitor.drafted(branches, time);
    }

    /// What comes over its connection; false when that is over.
    pub(crate) fn hears(&mut self, heard: Heard, now: Duration) -> bool {
        self.progress = now;
        match heard {
            Heard::Opened(throughput) => {
                self.connection = self.connection.map(|(connection, _)| (connection, true));
                self.monitor.connected(Some(now - self.dialled), Some(throughput));
                self.device.session.connected();
            }
            Heard::Deep { header, rows, timing, throughput } => {
                let sent = self.sent.remove(&(header.epoch, header.pos));
                let (rows_sent, at) = sent.expect("an append was sent");
                let spent = timing.queue + timing.compute;
                assert!(at + spent <= now, "{timing:?} within {:?}", now - at);
                self.device.session.set_now(now - self.turn_start);
                self.device.session.timed(&timing, true);
                self.monitor.answered(Answered {
                    bytes: (rows_sent * ROW_BYTES) as u64,
                    elapsed: Some(now - at).filter(|_| self.sent.is_empty()),
                    awaited: true,
                    timing,
                    throughput: Some(throughput),
                });
                self.device.session.set_conditions(self.monitor.conditions(ROW_BYTES));
                self.device.answered(header, rows);
            }
            Heard::Ended => {
                self.disconnected();
                return false;
            }
        }
        true
    }

    pub(crate) fn disconnected(&mut self) {
        self.connection = None;
        self.device.session.disconnected();
    }
}
