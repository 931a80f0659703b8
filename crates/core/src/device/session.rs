//! Device session: one conversation's confirmed tokens and drafts, and what the cloud holds of
//! them.

mod answers;
mod drafting;
mod next;
mod timeline;

use std::{collections::VecDeque, time::Duration};

use timeline::Timeline;

use super::{
    Action, Branch, FinishReason, TurnError, TurnOptions, calibration::Calibration, round::Round,
};
use crate::{
    AppendHeader, AppendKind, SessionLimits, TurnStats,
    monitor::{AnswerTiming, Average, Conditions},
};

/// Bounds of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Longest sequence, prompt and text together, in tokens.
    pub context: usize,
    /// Most rows in one append, as the cloud states it.
    pub max_append_rows: usize,
    /// Most rows in flight, which keeps the cloud's queue within what it states.
    pub max_queued_rows: usize,
    /// `K`: decoder layers on the device after the cloud.
    pub output_layers: usize,
}

#[derive(Debug)]
struct OpenTurn {
    options: TurnOptions,
    /// Tokens the turn started with; the rest is generated.
    prompt: usize,
    finished: Option<FinishReason>,
}

/// An answer whose rows are being judged.
#[derive(Clone, Copy, Debug)]
struct Judging {
    kind: AppendKind,
    rows_left: usize,
}

/// Averages over rounds.
#[derive(Debug, Default)]
struct Habit {
    drafted: Average,
    accepted: Average,
}

/// The device's state machine for one conversation: drafts, uploads, verifies, rolls back and
/// replays.
///
/// A driver obeys [`poll`](Self::poll) and reports what happens; it does all computing and all I/O.
/// Rows are addressed by position throughout: every KV cache is truncated to the position at which
/// rows are fed to it.
///
/// ```
/// use tricorn_core::{Action, DeviceSession, SessionConfig, TurnOptions};
///
/// let mut session = DeviceSession::new(SessionConfig {
///     context: 64,
///     max_append_rows: 16,
///     max_queued_rows: 32,
///     output_layers: 0,
/// });
/// session.start_turn(vec![1, 2, 3], TurnOptions { max_new_tokens: 8, ..TurnOptions::default() })?;
/// assert_eq!(session.poll(), Action::Connect);
/// session.connected();
/// let Action::Append(prompt) = session.poll() else { unreachable!() };
/// assert_eq!(session.tokens_at(prompt.pos, prompt.rows), [1, 2, 3]);
/// // The cloud answers with the last row; the target chooses token 7 from its logits.
/// session.deep(prompt.answer())?;
/// session.judge(7);
/// assert_eq!(session.generated(), [7]);
/// assert_eq!(session.poll(), Action::Draft { pos: 4 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DeviceSession {
    config: SessionConfig,
    turn: Option<OpenTurn>,
    /// The confirmed tokens, then the drafts.
    tokens: Vec<u32>,
    confirmed: usize,
    round: Round,
    judging: Option<Judging>,
    conditions: Conditions,
    calibration: Calibration,
    habit: Habit,
    connected: bool,
    epoch: u32,
    in_flight: VecDeque<AppendHeader>,
    timeline: Timeline,
    /// The cloud holds valid rows `[0, acknowledged)`, as its answers show.
    acknowledged: usize,
    /// It holds rows `[0, upload_pos)` once everything in flight has arrived.
    upload_pos: usize,
    /// The output layers' KV cache holds valid rows `[0, deep_len)`; never below `acknowledged`
    /// when there are such layers.
    deep_len: usize,
    stats: TurnStats,
}

impl DeviceSession {
    /// An empty conversation, not connected, under unknown conditions.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        Self {
            config,
            turn: None,
            tokens: Vec::new(),
            confirmed: 0,
            round: Round::default(),
            judging: None,
            conditions: Conditions::default(),
            calibration: Calibration::default(),
            habit: Habit::default(),
            connected: false,
            epoch: 0,
            in_flight: VecDeque::new(),
            timeline: Timeline::default(),
            acknowledged: 0,
            upload_pos: 0,
            deep_len: 0,
            stats: TurnStats::default(),
        }
    }

    /// Starts a turn on the whole conversation `tokens`; a turn under way is cancelled. What they
    /// share with the tokens held is not uploaded again, but for the last row.
    ///
    /// # Errors
    /// When there are no tokens, or so many that none can follow; nothing has changed then.
    pub fn start_turn(&mut self, tokens: Vec<u32>, options: TurnOptions) -> Result<(), TurnError> {
        if tokens.is_empty() {
            return Err(TurnError::Empty);
        }
        if tokens.len() >= self.config.context {
            return Err(TurnError::TooLong { tokens: tokens.len(), context: self.config.context });
        }
        self.cancel();
        self.timeline = Timeline::default();
        let common =
            self.tokens().iter().zip(&tokens).take_while(|(held, new)| held == new).count();
        let kept = common.min(tokens.len() - 1);
        self.truncate_rows(kept);
        self.stats = TurnStats {
            prompt_tokens: tokens.len(),
            reused_tokens: self.upload_pos,
            ..TurnStats::default()
        };
        let finished = (options.max_new_tokens == 0).then_some(FinishReason::Length);
        self.turn = Some(OpenTurn { options, prompt: tokens.len(), finished });
        self.confirmed = tokens.len();
        self.tokens = tokens;
        self.round = Round::default();
        Ok(())
    }

    /// The next action. Asking again without an event in between gives the same answer, except that
    /// an append is given out once.
    pub fn poll(&mut self) -> Action {
        let action = self.next_action();
        if let Action::Append(header) = action {
            self.in_flight.push_back(header);
            self.timeline.sent(header.rows);
            self.upload_pos = header.end();
            self.stats.uploaded_rows += header.rows;
        }
        action
    }

    /// What was measured of device, link and cloud. It counts from the next decision on, and has no
    /// influence on the text.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// The time since the turn began. Like [conditions](Self::set_conditions) it has no influence
    /// on the text: chunks are sized by where those before them should be.
    pub fn set_now(&mut self, since_start: Duration) {
        self.timeline.set_now(since_start);
    }

    /// Where the cloud spent its time on the append answered last, whose answer was `awaited` or
    /// may have lain unread.
    pub fn timed(&mut self, timing: &AnswerTiming, awaited: bool) {
        self.timeline.timed(timing, awaited, &self.conditions);
    }

    /// There is a connection to a cloud session that holds nothing yet: everything is uploaded
    /// again, in a new epoch.
    pub fn connected(&mut self) {
        self.forget_cloud();
        self.epoch += 1;
        self.connected = true;
    }

    /// The session that was opened in place of a lost one is held to other limits; `context` is
    /// still the longest sequence here.
    ///
    /// # Errors
    /// When the conversation leaves no room for a token more; a later turn on a shorter one is
    /// possible.
    pub fn set_limits(&mut self, limits: SessionLimits, context: usize) -> Result<(), TurnError> {
        let SessionLimits { context: longest, max_append_rows, max_queued_rows } = limits;
        self.config = SessionConfig {
            context: longest.min(context),
            max_append_rows,
            max_queued_rows,
            ..self.config
        };
        let (tokens, context) = (self.tokens.len(), self.config.context);
        if tokens < context { Ok(()) } else { Err(TurnError::TooLong { tokens, context }) }
    }

    /// The connection is gone, and with it what was in flight and what the cloud held. Tokens and
    /// drafts stay: after [`connected`](Self::connected) they are replayed.
    pub fn disconnected(&mut self) {
        self.forget_cloud();
        self.stats.lost_connections += usize::from(self.connected);
        self.connected = false;
    }

    /// Abandons the turn under way, if any: confirmed tokens stay, drafts and answers in flight are
    /// dropped.
    pub fn cancel(&mut self) {
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.finished.is_none()) else {
            return;
        };
        turn.finished = Some(FinishReason::Cancelled);
        self.abandon_in_flight();
        self.settle(None);
    }

    /// The tokens of rows `[pos, pos + rows)`: confirmed tokens, then drafts; empty when there are
    /// not so many.
    #[must_use]
    pub fn tokens_at(&self, pos: usize, rows: usize) -> &[u32] {
        pos.checked_add(rows).and_then(|end| self.tokens.get(pos..end)).unwrap_or_default()
    }

    /// The confirmed tokens: prompt and text.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens[..self.confirmed]
    }

    /// The tokens confirmed in this turn.
    #[must_use]
    pub fn generated(&self) -> &[u32] {
        self.turn.as_ref().map_or(&[], |turn| &self.tokens[turn.prompt..self.confirmed])
    }

    /// How the turn ended; `None` while one is under way, and before the first.
    #[must_use]
    pub fn finished(&self) -> Option<FinishReason> {
        self.turn.as_ref().and_then(|turn| turn.finished)
    }

    /// The drafts that wait for their verification.
    #[must_use]
    pub fn drafts(&self) -> &[u32] {
        &self.tokens[self.confirmed..]
    }

    /// The continuations that are being drafted beside the round.
    #[must_use]
    pub fn branches(&self) -> &[Branch] {
        self.round.branches()
    }

    /// Whether the cloud still owes answers.
    #[must_use]
    pub fn awaits_answers(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// The turn's counters.
    #[must_use]
    pub fn stats(&self) -> &TurnStats {
        &self.stats
    }

    /// The epoch of the next append.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Rows from `len` on are no longer valid anywhere; uploads continue from what is valid and
    /// acknowledged.
    fn truncate_rows(&mut self, len: usize) {
        self.acknowledged = self.acknowledged.min(len);
        self.deep_len = self.deep_len.min(len);
        self.upload_pos = self.acknowledged;
    }

    fn forget_cloud(&mut self) {
        self.abandon_in_flight();
        self.acknowledged = 0;
        self.upload_pos = 0;
    }

    fn abandon_in_flight(&mut self) {
        if !self.in_flight.is_empty() {
            self.epoch += 1;
            self.in_flight.clear();
            self.timeline.forget_sent();
        }
    }
}
