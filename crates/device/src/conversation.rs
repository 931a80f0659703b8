//! One conversation: drives the protocol core with the device's parts over a link.

mod answers;
mod branches;
mod drafting;
mod progress;
mod upload;

use crate::{
    Control, DeviceError, Ends, Event, Options, SharedMonitor, SharedProcessor, Turn,
    drafts::Drafts,
    link::{Backoff, Connected, Link, LinkError},
    pace::Pacer,
    report::{Crossed, TurnReport},
    shallow::RowWindow,
};
use branches::Side;
use progress::Progress;
use std::{ops::ControlFlow, time::Duration};
use tricorn_core::{
    Action, DeviceSession, DraftPolicy, FinishReason, Sampler, SessionConfig, TurnOptions,
};
use tricorn_model::KvCache;

/// Losses without an answer in between after which a turn gives up.
const MAX_LOSSES: usize = 5;

/// A conversation with its KV caches on the device and its session on a middle.
#[derive(Debug)]
pub struct Conversation<'e, L> {
    ends: &'e Ends,
    link: L,
    session: DeviceSession,
    /// The longest sequence that the caches hold.
    context: usize,
    monitor: SharedMonitor,
    pacer: Pacer,
    processor: SharedProcessor,
    /// Bytes of a hidden row on the wire, at most.
    row_bytes: usize,
    input_kv: KvCache,
    output_kv: KvCache,
    drafts: Option<Drafts>,
    window: RowWindow,
    /// Where the prompt ends as far as it was sent: the drafter takes in the rows below.
    prompt_sent: usize,
    /// The continuations under way, in the session's order.
    sides: Vec<Side>,
    /// What the first layers took for the rows sent last, as long as the drafter has not drafted
    /// from them.
    row_time: Duration,
    /// What the turn that failed last had sent and received.
    crossed: Crossed,
}

impl<'e, L: Link> Conversation<'e, L> {
    /// Connects.
    ///
    /// # Errors
    /// When no cloud answers, or it refuses this device.
    pub fn open(ends: &'e Ends, link: L) -> Result<Self, DeviceError> {
        Self::open_with(ends, link, Options::default())
    }

    /// Connects, with measurements that conversations share or a device to emulate.
    ///
    /// # Errors
    /// When no cloud answers, or it refuses this device.
    pub fn open_with(ends: &'e Ends, mut link: L, options: Options) -> Result<Self, DeviceError> {
        let Connected { limits, round_trip, pace } = link.connect()?;
        let context = ends.context.min(limits.context);
        let mut session = DeviceSession::new(SessionConfig {
            context,
            max_append_rows: limits.max_append_rows,
            max_queued_rows: limits.max_queued_rows,
            output_layers: ends.split.output_layers,
        });
        session.connected();
        let monitor = options.monitor.unwrap_or_default();
        monitor.lock().connected(round_trip, pace);
        let drafts = ends
            .drafter
            .as_ref()
            .map(|drafter| Drafts::new(drafter, drafter.new_kv(&ends.pool, context), ends.hidden));
        Ok(Self {
            input_kv: ends.input.new_kv(&ends.pool, context),
            output_kv: ends.output.new_kv(&ends.pool, context),
            drafts,
            window: RowWindow::new(ends.hidden),
            prompt_sent: 0,
            sides: Vec::new(),
            row_time: Duration::ZERO,
            crossed: Crossed::default(),
            row_bytes: ends.hidden * ends.codec.bytes_per_value(),
            pacer: Pacer::new(options.pace),
            processor: options.processor,
            monitor,
            ends,
            link,
            session,
            context,
        })
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
        turn.sampling.check_vocab(self.ends.output.vocab())?;
        self.link.interrupt_by(&control.cancel);
        let draft = if self.ends.drafter.is_some() { turn.draft } else { DraftPolicy::OFF };
        let options = TurnOptions {
            max_new_tokens: turn.max_new_tokens,
            stop_tokens: self.ends.stop_tokens.clone(),
            draft,
            chunk: turn.chunk,
        };
        let sampler =
            Sampler::new(turn.sampling, &turn.tokens, turn.constraint).with_logprobs(turn.logprobs);
        let (before, overruns) = (self.link.traffic(), self.pacer.overruns());
        let mut progress =
            Progress::new(sampler, turn.tokens.len(), draft, control, before, on_event);
        self.measured();
        self.session.start_turn(turn.tokens, options)?;
        self.prompt_sent = 0;
        self.settle(None);
        let finish = match self.run(&mut progress) {
            Ok(finish) => finish,
            Err(error) => {
                self.session.cancel();
                self.session.disconnected();
                self.crossed = Crossed {
                    traffic: self.link.traffic().since(before),
                    wire: progress.trace.take_samples(),
                };
                return Err(error);
            }
        };
        let traffic = self.link.traffic().since(before);
        Ok(TurnReport {
            token_ids: self.session.generated().to_vec(),
            finish,
            stats: *self.session.stats(),
            ttft: progress.ttft,
            trace: progress.trace.take(),
            wire: progress.trace.take_samples(),
            gaps: progress.gaps,
            bytes_up: traffic.up,
            bytes_down: traffic.down,
            overruns: self.pacer.overruns() - overruns,
        })
    }

    fn run(&mut self, progress: &mut Progress<'_>) -> Result<FinishReason, DeviceError> {
        loop {
            if progress.control.cancel.reason().is_some() {
                self.session.cancel();
            }
            match self.step(progress) {
                Ok(ControlFlow::Continue(None)) => {}
                Ok(ControlFlow::Continue(Some(reason))) => return Ok(reason),
                Ok(ControlFlow::Break(())) | Err(DeviceError::Link(LinkError::Cancelled)) => {
                    self.session.cancel()
                }
                Err(error) => self.survive(error, progress)?,
            }
        }
    }

    /// Takes in an answer that is there, or does what the session asks for.
    fn step(
        &mut self,
        progress: &mut Progress<'_>,
    ) -> Result<ControlFlow<(), Option<FinishReason>>, DeviceError> {
        // An answer may make needless what would be done next.
        if self.session.awaits_answers()
            && let Some(answer) = self.link.try_receive()?
        {
            return Ok(self.answer(answer, false, progress)?.map_continue(|()| None));
        }
        self.session.set_now(progress.trace.now());
        match self.session.poll() {
            Action::Finished(reason) => return Ok(ControlFlow::Continue(Some(reason))),
            Action::Connect => self.connect(progress)?,
            Action::Draft { pos } => self.draft(pos, progress)?,
            Action::Guess { pos } => self.guess(pos, progress)?,
            Action::Branch => self.branch(progress)?,
            Action::Append(header) => self.append(header, progress)?,
            Action::Wait if self.take_in_piece()? => {}
            Action::Wait => {
                let answer = self.link.receive()?;
                return Ok(self.answer(answer, true, progress)?.map_continue(|()| None));
            }
        }
        Ok(ControlFlow::Continue(None))
    }

    /// Takes a lost session for what it is, unless that happens too often; passes on every other
    /// error.
    fn survive(
        &mut self,
        error: DeviceError,
        progress: &mut Progress<'_>,
    ) -> Result<(), DeviceError> {
        let reason = match error {
            DeviceError::Link(LinkError::Lost(reason)) => reason,
            // Whoever took the room may have gone; when it was this text, no replay helps.
            DeviceError::Link(LinkError::Evicted(reason)) if progress.losses == 0 => reason,
            DeviceError::Link(LinkError::Evicted(reason)) => {
                return Err(LinkError::NoRoom(reason).into());
            }
            DeviceError::Protocol(error) => error.to_string(),
            error => return Err(error),
        };
        progress.losses += 1;
        if progress.losses >= MAX_LOSSES {
            return Err(LinkError::KeepsFailing { losses: progress.losses, reason }.into());
        }
        self.session.disconnected();
        if let Some(wait) =
            progress.losses.checked_sub(2).and_then(|loss| Backoff::default().waits().nth(loss))
        {
            progress.control.cancel.sleep(wait);
        }
        if progress.tell(Event::Reconnecting).is_break() {
            self.session.cancel();
        }
        Ok(())
    }

    fn connect(&mut self, progress: &mut Progress<'_>) -> Result<(), DeviceError> {
        let Connected { limits, round_trip, pace } = self.link.connect()?;
        self.session.set_limits(limits, self.context)?;
        self.monitor.lock().connected(round_trip, pace);
        self.measured();
        progress.forget_sent();
        self.session.connected();
        Ok(())
    }

    /// Tells the session what is known now.
    fn measured(&mut self) {
        self.session.set_conditions(self.monitor.lock().conditions(self.row_bytes));
    }

    /// What the turn that failed last had sent and received; nothing when asked again.
    pub(crate) fn take_crossed(&mut self) -> Crossed {
        std::mem::take(&mut self.crossed)
    }

    /// The conversation's tokens so far.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        self.session.tokens()
    }
}
