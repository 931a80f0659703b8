//! One conversation: drives the protocol core with the device's parts over a link.

use crate::link::all_finite;
use crate::{
    DeviceError, Ends,
    link::{Answer, Backoff, Link, LinkError},
    report::TurnReport,
    shallow::RowWindow,
};
use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};
use tricorn_core::{
    Action, AppendHeader, ChunkPolicy, DeepUse, DeviceSession, DraftPolicy, FinishReason, Judgement, SamplingParams, SessionConfig,
    SessionLimits, TurnOptions, choose, confidence,
};
use tricorn_model::KvCache;

/// Losses without an answer in between after which a turn gives up.
const MAX_LOSSES: usize = 5;

/// What one turn asks for.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The whole conversation so far, in tokens; what earlier turns uploaded is not uploaded again.
    pub tokens: Vec<u32>,
    /// Most tokens to generate.
    pub max_new_tokens: usize,
    /// Temperature and seed.
    pub sampling: SamplingParams,
    /// When drafting stops; no drafts where the device has no drafter.
    pub draft: DraftPolicy,
    /// How the prompt is cut.
    pub chunk: ChunkPolicy,
}

/// What a turn reports while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A confirmed token.
    Token {
        /// Its id.
        id: u32,
        /// Whether the device had drafted it.
        drafted: bool,
    },
    /// The session with the cloud was lost; what it held is being replayed.
    Reconnecting,
}

/// A conversation with its KV caches on the device and its session on a middle.
#[derive(Debug)]
pub struct Conversation<'e, L> {
    ends: &'e Ends,
    link: L,
    session: DeviceSession,
    limits: SessionLimits,
    input_kv: KvCache,
    output_kv: KvCache,
    drafter_kv: Option<KvCache>,
    window: RowWindow,
}

/// The clock's and counters' side of a turn under way.
struct Progress<'f> {
    on_event: &'f mut dyn FnMut(Event) -> ControlFlow<()>,
    sampling: SamplingParams,
    started: Instant,
    last: Option<Instant>,
    ttft: Duration,
    gaps: Vec<Duration>,
    losses: usize,
}

impl<'e, L: Link> Conversation<'e, L> {
    /// Connects.
    ///
    /// # Errors
    /// When no cloud answers, or it refuses this device.
    pub fn open(ends: &'e Ends, mut link: L) -> Result<Self, DeviceError> {
        let limits = link.connect()?;
        let context = ends.context.min(limits.context);
        let mut session = DeviceSession::new(SessionConfig {
            context,
            max_append_rows: limits.max_append_rows,
            max_queued_rows: limits.max_queued_rows,
            output_layers: ends.split.output_layers,
        });
        session.connected();
        Ok(Self {
            input_kv: ends.input.new_kv(&ends.pool, context),
            output_kv: ends.output.new_kv(&ends.pool, context),
            drafter_kv: ends.drafter.as_ref().map(|drafter| drafter.new_kv(&ends.pool, context)),
            window: RowWindow::new(ends.hidden),
            ends,
            link,
            session,
            limits,
        })
    }

    /// Generates until a stop token, the limit, or `on_event` breaks (then the turn ends as cancelled).
    ///
    /// # Errors
    /// When the prompt is empty or too long, the cloud refuses or stays away, or the device's own files fail. The conversation stays
    /// usable: the next turn reconnects and replays.
    pub fn turn(&mut self, turn: Turn, on_event: &mut dyn FnMut(Event) -> ControlFlow<()>) -> Result<TurnReport, DeviceError> {
        let mut progress = Progress {
            on_event,
            sampling: turn.sampling,
            started: Instant::now(),
            last: None,
            ttft: Duration::ZERO,
            gaps: Vec::new(),
            losses: 0,
        };
        let draft = if self.ends.drafter.is_some() { turn.draft } else { DraftPolicy::OFF };
        let options =
            TurnOptions { max_new_tokens: turn.max_new_tokens, stop_tokens: self.ends.stop_tokens.clone(), draft, chunk: turn.chunk };
        let before = self.link.traffic();
        self.session.start_turn(turn.tokens, options)?;
        let finish = match self.run(&mut progress) {
            Ok(finish) => finish,
            Err(error) => {
                self.session.cancel();
                self.session.disconnected();
                return Err(error);
            }
        };
        let after = self.link.traffic();
        Ok(TurnReport {
            token_ids: self.session.generated().to_vec(),
            finish,
            stats: *self.session.stats(),
            ttft: progress.ttft,
            gaps: progress.gaps,
            bytes_up: after.up - before.up,
            bytes_down: after.down - before.down,
        })
    }

    fn run(&mut self, progress: &mut Progress<'_>) -> Result<FinishReason, DeviceError> {
        loop {
            let step = match self.session.poll() {
                Action::Finished(reason) => return Ok(reason),
                Action::Connect => self.connect().map(|()| ControlFlow::Continue(())),
                Action::Draft { pos } => {
                    self.draft(pos, &progress.sampling)?;
                    Ok(ControlFlow::Continue(()))
                }
                Action::Append(header) => self.append(header).map(|()| ControlFlow::Continue(())),
                Action::Wait => self.link.receive().map_err(DeviceError::from).and_then(|answer| self.answer(answer, progress)),
            };
            match step {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => self.session.cancel(),
                Err(error) => self.survive(error, progress)?,
            }
        }
    }

    /// Takes a lost session for what it is, unless that happens too often; passes on every other error.
    fn survive(&mut self, error: DeviceError, progress: &mut Progress<'_>) -> Result<(), DeviceError> {
        let reason = match error {
            DeviceError::Link(LinkError::Lost(reason)) => reason,
            DeviceError::Protocol(error) => error.to_string(),
            error => return Err(error),
        };
        progress.losses += 1;
        if progress.losses >= MAX_LOSSES {
            return Err(LinkError::KeepsFailing { losses: progress.losses, reason }.into());
        }
        self.session.disconnected();
        if let Some(wait) = progress.losses.checked_sub(2).and_then(|loss| Backoff::default().waits().nth(loss)) {
            std::thread::sleep(wait);
        }
        if (progress.on_event)(Event::Reconnecting).is_break() {
            self.session.cancel();
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<(), DeviceError> {
        let now = self.link.connect()?;
        let limits = self.limits;
        if now.context < limits.context || now.max_append_rows < limits.max_append_rows || now.max_queued_rows < limits.max_queued_rows {
            return Err(LinkError::Shrunk { now }.into());
        }
        self.session.connected();
        Ok(())
    }

    /// Computes the shallow rows at `pos..pos + rows` that the window does not hold yet, and lets the drafter see them.
    fn shallow(&mut self, pos: usize, rows: usize) -> Result<(), DeviceError> {
        let tokens = self.session.tokens_at(pos, rows);
        let held = self.window.reuse(pos, tokens);
        if held < tokens.len() {
            let missing = &tokens[held..];
            let mut x = self.ends.input.forward_at(&mut self.input_kv, pos + held, missing)?;
            self.ends.codec.round(&mut x);
            all_finite(&x, "first layers")?;
            self.window.extend(missing, &x);
            if let (Some(drafter), Some(kv)) = (&self.ends.drafter, &mut self.drafter_kv) {
                drafter.extend(kv, pos + held, &x, &[])?;
            }
        }
        Ok(())
    }

    fn draft(&mut self, pos: usize, sampling: &SamplingParams) -> Result<(), DeviceError> {
        // The window keeps the rows from the last confirmed token on: they are uploaded together.
        let first = self.session.tokens().len() - 1;
        self.shallow(first, pos - first)?;
        let (Some(drafter), Some(kv)) = (&self.ends.drafter, &mut self.drafter_kv) else {
            self.session.drafted(0, 0.0);
            return Ok(());
        };
        let row = &self.window.rows(pos - first)[(pos - first - 1) * self.ends.hidden..];
        let guess = drafter.forward_at(kv, pos - 1, row, &[])?;
        let logits = self.ends.output.logits(&guess);
        self.session.drafted(choose(&logits, sampling, pos), confidence(&logits));
        Ok(())
    }

    fn append(&mut self, header: AppendHeader) -> Result<(), DeviceError> {
        self.shallow(header.pos, header.rows)?;
        Ok(self.link.send(header, self.window.rows(header.rows))?)
    }

    fn answer(&mut self, answer: Answer, progress: &mut Progress<'_>) -> Result<ControlFlow<()>, DeviceError> {
        let Answer { header, mut rows } = answer;
        let used = self.session.deep(header)?;
        if matches!(used, DeepUse::Extend | DeepUse::Judge { .. }) {
            self.ends.output.forward_at(&mut self.output_kv, header.first_row_pos, &mut rows)?;
        }
        let DeepUse::Judge { first_row, pos } = used else {
            return Ok(ControlFlow::Continue(()));
        };
        // Only a token is progress: a cloud may well acknowledge a replay each time before it fails again.
        progress.losses = 0;
        let logits = self.ends.output.logits(&rows[first_row * self.ends.hidden..]);
        let drafts = self.session.drafts().to_vec();
        let mut confirmed = Vec::new();
        for (pos, logits) in (pos..).zip(logits.chunks_exact(self.ends.output.vocab())) {
            let token = choose(logits, &progress.sampling, pos);
            confirmed.push(Event::Token { id: token, drafted: drafts.get(confirmed.len()) == Some(&token) });
            if self.session.judge(token) == Judgement::Settled {
                break;
            }
        }
        progress.tokens(&confirmed)
    }

    /// The conversation's tokens so far.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        self.session.tokens()
    }
}

impl Progress<'_> {
    fn tokens(&mut self, confirmed: &[Event]) -> Result<ControlFlow<()>, DeviceError> {
        let now = Instant::now();
        match self.last {
            None => self.ttft = now - self.started,
            Some(last) => {
                let share = (now - last) / u32::try_from(confirmed.len()).unwrap_or(u32::MAX);
                self.gaps.extend(confirmed.iter().map(|_| share));
            }
        }
        self.last = Some(now);
        for &event in confirmed {
            if (self.on_event)(event).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
