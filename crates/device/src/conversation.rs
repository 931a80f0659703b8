//! Conversation: drives the protocol core's session with the device's parts over a transport.
//!
//! The core says what is next ([`StepOrder`](tricorn_core::driver::StepOrder)); each part here owns
//! the state that it computes with: the first layers, the last layers, the drafter with its
//! continuations, and the device's time. A running turn owns what ends with it.

mod branches;
mod clock;
mod compute;
mod device_side;
mod drafter_cache;
mod drafting;
mod first_layers;
mod judging;
mod last_layers;
pub(crate) mod offline;
mod recorder;
mod row_window;
mod rows;
mod running;

use crate::{
    error::DeviceError,
    parts::DeviceParts,
    transport::{Answer, Connected, Transport, TransportError},
    turn::{Control, Crossed, Event, Options, Turn, TurnReport},
};
use device_side::{DeviceSide, Judged};
use running::RunningTurn;
use std::{ops::ControlFlow, time::Duration};
use tricorn_core::{
    Action, Answered, AppendHeader, DeepUse, DeviceSession, DraftPolicy, FinishReason, Sampler,
    SessionConfig, TurnOptions,
    driver::{AfterLoss, Loss, Step},
};

/// A conversation with its KV caches on the device and its session on a middle.
#[derive(Debug)]
pub struct Conversation<'p, T> {
    parts: &'p DeviceParts,
    transport: T,
    session: DeviceSession,
    /// The longest sequence that the caches hold.
    context: usize,
    device: DeviceSide<'p>,
    /// Traffic of the turn that failed last.
    crossed: Crossed,
}

impl<'p, T: Transport> Conversation<'p, T> {
    /// Connects.
    ///
    /// # Errors
    /// When no cloud answers, or it refuses this device.
    pub fn open(parts: &'p DeviceParts, transport: T) -> Result<Self, DeviceError> {
        Self::open_with(parts, transport, Options::default())
    }

    /// Connects, with measurements that conversations share or a device to emulate.
    ///
    /// # Errors
    /// When no cloud answers, or it refuses this device.
    pub fn open_with(
        parts: &'p DeviceParts,
        mut transport: T,
        options: Options,
    ) -> Result<Self, DeviceError> {
        let connected = transport.connect()?;
        let Connected { limits, .. } = connected;
        let context = parts.context.min(limits.context);
        let mut session = DeviceSession::new(SessionConfig {
            context,
            max_append_rows: limits.max_append_rows,
            max_queued_rows: limits.max_queued_rows,
            output_layers: parts.split.output_layers,
        });
        session.connected();
        log_connected(&connected, 0);
        let device = DeviceSide::new(parts, context, options);
        device.compute.connected(connected);
        Ok(Self { parts, transport, session, context, device, crossed: Crossed::default() })
    }

    /// Generates until a stop token, the limit, or `on_event` breaks (then the turn ends as
    /// cancelled).
    ///
    /// # Errors
    /// When the prompt is empty or too long, the cloud refuses or stays away, or the device's own
    /// files fail. The conversation stays usable: the next turn reconnects and replays.
    pub fn turn(
        &mut self,
        turn: Turn,
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<TurnReport, DeviceError> {
        self.turn_under(turn, &Control::default(), on_event)
    }

    /// As [`turn`](Self::turn), until `control` ends it: then it ends as cancelled, within a step
    /// and at once where it waits.
    ///
    /// # Errors
    /// As those of [`turn`](Self::turn).
    pub fn turn_under(
        &mut self,
        turn: Turn,
        control: &Control,
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<TurnReport, DeviceError> {
        turn.sampling.check_vocab(self.parts.output.vocab())?;
        self.transport.interrupt_by(&control.cancel);
        let draft = if self.device.drafts() { turn.draft } else { DraftPolicy::OFF };
        let options = TurnOptions {
            max_new_tokens: turn.max_new_tokens,
            stop_tokens: self.parts.stop_tokens.clone(),
            draft,
            chunk: turn.chunk,
        };
        let sampler =
            Sampler::new(turn.sampling, &turn.tokens, turn.constraint).with_logprobs(turn.logprobs);
        let overruns = self.device.compute.overruns();
        let mut running = RunningTurn::new(
            sampler,
            (turn.tokens.len(), draft.alternatives()),
            control,
            self.transport.traffic(),
            on_event,
        );
        self.session.set_conditions(self.device.compute.conditions());
        self.session.start_turn(turn.tokens, options)?;
        self.device.begin_turn();
        let finish = match self.run(&mut running) {
            Ok(finish) => finish,
            Err(error) => {
                self.session.cancel();
                self.session.disconnected();
                self.crossed = running.recorder.crossed(self.transport.traffic());
                return Err(error);
            }
        };
        let (now, overruns) = (self.transport.traffic(), self.device.compute.overruns() - overruns);
        Ok(running.recorder.report(finish, &self.session, now, overruns))
    }

    fn run(&mut self, turn: &mut RunningTurn<'_>) -> Result<FinishReason, DeviceError> {
        loop {
            if turn.control.cancel.reason().is_some() {
                self.session.cancel();
            }
            match self.step(turn) {
                Ok(ControlFlow::Continue(None)) => {}
                Ok(ControlFlow::Continue(Some(reason))) => return Ok(reason),
                Ok(ControlFlow::Break(()))
                | Err(DeviceError::Transport(TransportError::Cancelled)) => self.session.cancel(),
                Err(error) => self.survive(error, turn)?,
            }
        }
    }

    /// Does the next step, and gives the reason once the turn is over. Breaks where nobody listens.
    fn step(
        &mut self,
        turn: &mut RunningTurn<'_>,
    ) -> Result<ControlFlow<(), Option<FinishReason>>, DeviceError> {
        let (now, piece) = (turn.clock.now(), self.device.piece());
        let answer = match turn.order.next(&mut self.session, now, piece) {
            Step::Act(Action::Finished(reason)) => return Ok(ControlFlow::Continue(Some(reason))),
            Step::Look => self.transport.try_receive()?.map(|answer| (answer, false)),
            Step::Await => Some((self.transport.receive()?, true)),
            Step::TakeIn(rows) => self.device.take_in(rows, turn).map(|()| None)?,
            Step::Act(action) => self.act(action, turn).map(|()| None)?,
        };
        match answer {
            Some((answer, awaited)) => {
                Ok(self.answer(answer, awaited, turn)?.map_continue(|()| None))
            }
            None => Ok(ControlFlow::Continue(None)),
        }
    }

    fn act(&mut self, action: Action, turn: &mut RunningTurn<'_>) -> Result<(), DeviceError> {
        match action {
            Action::Connect => self.connect(turn),
            Action::Append(header) => self.append(header, turn),
            Action::Draft { pos } => self.device.draft(pos, &mut self.session, turn),
            Action::Guess { pos } => self.device.guess(pos, &mut self.session, turn),
            Action::Branch => self.device.branch(&mut self.session, turn),
            Action::Wait | Action::Finished(_) => Ok(()),
        }
    }

    fn connect(&mut self, turn: &mut RunningTurn<'_>) -> Result<(), DeviceError> {
        let connected = self.transport.connect()?;
        self.session.set_limits(connected.limits, self.context)?;
        log_connected(&connected, self.session.tokens().len());
        self.device.compute.connected(connected);
        self.session.set_conditions(self.device.compute.conditions());
        turn.uplink.reset();
        self.session.connected();
        Ok(())
    }

    /// Takes a lost session for what it is, unless that happens too often; passes on every other
    /// error.
    fn survive(
        &mut self,
        error: DeviceError,
        turn: &mut RunningTurn<'_>,
    ) -> Result<(), DeviceError> {
        let (loss, reason) = match error {
            DeviceError::Transport(TransportError::Lost(reason)) => (Loss::Lost, reason),
            DeviceError::Transport(TransportError::Evicted(reason)) => (Loss::Evicted, reason),
            DeviceError::Protocol(error) => (Loss::Lost, error.to_string()),
            error => return Err(error),
        };
        tracing::info!(reason, "session lost");
        let wait = match turn.recovery.lost(loss) {
            AfterLoss::Reconnect { after } => after,
            AfterLoss::NoRoom => return Err(TransportError::NoRoom(reason).into()),
            AfterLoss::GiveUp { losses } => {
                return Err(TransportError::KeepsFailing { losses, reason }.into());
            }
        };
        self.session.disconnected();
        if !wait.is_zero() {
            turn.control.cancel.sleep(wait);
        }
        if turn.tell(Event::Reconnecting).is_break() {
            self.session.cancel();
        }
        Ok(())
    }

    fn append(
        &mut self,
        header: AppendHeader,
        turn: &mut RunningTurn<'_>,
    ) -> Result<(), DeviceError> {
        let rows = self.device.append_rows(header, &self.session, turn)?;
        let (before, at) = (self.transport.traffic().up, turn.clock.now());
        self.transport.send(header, rows)?;
        let bytes = self.transport.traffic().up - before;
        turn.uplink.sent(header, bytes, at);
        turn.recorder.sent(header, bytes, at, rows);
        self.device.sent(header, bytes);
        Ok(())
    }

    /// Takes in an answer; `awaited` when nothing else was done while it was on its way.
    fn answer(
        &mut self,
        answer: Answer,
        awaited: bool,
        turn: &mut RunningTurn<'_>,
    ) -> Result<ControlFlow<()>, DeviceError> {
        turn.order.answered();
        let received = turn.clock.now();
        let Answer { header, timing, .. } = answer;
        let used = self.session.deep(header)?;
        turn.recorder.answered(&answer, received);
        if used == DeepUse::Stale {
            turn.uplink
                .outdated(received, self.transport.deadline())
                .map_err(|nothing_new| TransportError::Lost(nothing_new.to_string()))?;
        } else {
            turn.uplink.current();
            self.session.set_now(received);
            self.session.timed(&timing, awaited);
        }
        if let Some(sent) = turn.uplink.answered(header) {
            let elapsed = sent.alone.then(|| received.saturating_sub(sent.at));
            let (bytes, throughput) = (sent.bytes, answer.throughput);
            let answered = Answered { bytes, elapsed, awaited, timing, throughput };
            self.session.set_conditions(self.device.compute.answered(answered));
        }
        match used {
            DeepUse::Stale | DeepUse::Ack => Ok(ControlFlow::Continue(())),
            DeepUse::Extend => {
                self.device.extend(header.first_row_pos, answer.rows)?;
                Ok(ControlFlow::Continue(()))
            }
            DeepUse::Judge { first_row, pos } => {
                let rows = (header.first_row_pos, answer.rows);
                let judged = self.device.judge(rows, (first_row, pos), &mut self.session, turn)?;
                Ok(self.confirm(judged, turn))
            }
        }
    }

    /// Tells an answer's tokens: all of them, even where nobody will hear of them.
    fn confirm(&mut self, judged: Judged, turn: &mut RunningTurn<'_>) -> ControlFlow<()> {
        let Judged { tokens, settled, start } = judged;
        let (end, crossed) = (turn.clock.now(), self.transport.traffic());
        let reused = self.session.stats().reused_tokens;
        let round = turn.recorder.judged(tokens.len(), (start, end), crossed, reused);
        tracing::debug!(
            tokens = round.tokens,
            judge_ms = millis(end.saturating_sub(start)),
            elapsed_ms = millis(end),
            "round"
        );
        let told = turn.tell(Event::Round(round));
        let now = turn.clock.now();
        if let Some(round) = turn.recorder.confirmed(now, tokens.len(), settled) {
            self.device.compute.round(round);
        }
        let flow = tokens.into_iter().try_for_each(|token| turn.tell(token));
        if told.is_break() { told } else { flow }
    }

    /// Traffic of the turn that failed last; nothing when asked again.
    pub(crate) fn take_crossed(&mut self) -> Crossed {
        std::mem::take(&mut self.crossed)
    }

    /// The conversation's tokens so far.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        self.session.tokens()
    }
}

/// Logs that a session was opened, and how many tokens' rows are replayed in it at most.
fn log_connected(connected: &Connected, replayed_tokens: usize) {
    let Connected { limits, round_trip, .. } = connected;
    tracing::info!(
        context = limits.context,
        max_append_rows = limits.max_append_rows,
        rtt_ms = round_trip.map(millis),
        replayed_tokens,
        "session opened"
    );
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
