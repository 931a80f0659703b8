//! One conversation as the device sees it: confirmed tokens, drafts, and what the cloud holds of them.

use std::collections::VecDeque;

use super::{Action, DeepUse, FinishReason, Judgement, ProtocolError, TurnError, TurnOptions};
use crate::{AppendHeader, AppendKind, DeepHeader, TurnStats, Want};

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
struct Turn {
    options: TurnOptions,
    /// Tokens the turn started with; the rest is generated.
    prompt: usize,
    finished: Option<FinishReason>,
}

/// The device's state machine for one conversation: drafts, uploads, verifies, rolls back and replays.
///
/// A driver obeys [`poll`](Self::poll) and reports what happens; it does all computing and all I/O. Rows are addressed by position
/// throughout: every KV cache is truncated to the position at which rows are fed to it.
///
/// ```
/// use tricorn_core::{Action, DeviceSession, SessionConfig, TurnOptions};
///
/// let mut session = DeviceSession::new(SessionConfig { context: 64, max_append_rows: 16, max_queued_rows: 32, output_layers: 0 });
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
    turn: Option<Turn>,
    /// The confirmed tokens, then the drafts.
    tokens: Vec<u32>,
    confirmed: usize,
    /// No further draft in this round.
    drafts_closed: bool,
    /// The round whose rows are being judged.
    judging: Option<AppendKind>,
    connected: bool,
    epoch: u32,
    in_flight: VecDeque<AppendHeader>,
    /// The cloud holds valid rows `[0, acknowledged)`, as its answers show.
    acknowledged: usize,
    /// It holds rows `[0, upload_pos)` once everything in flight has arrived.
    upload_pos: usize,
    /// The output layers' KV cache holds valid rows `[0, deep_len)`; never below `acknowledged` when there are such layers.
    deep_len: usize,
    stats: TurnStats,
}

impl DeviceSession {
    /// An empty conversation, not connected.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        Self {
            config,
            turn: None,
            tokens: Vec::new(),
            confirmed: 0,
            drafts_closed: false,
            judging: None,
            connected: false,
            epoch: 0,
            in_flight: VecDeque::new(),
            acknowledged: 0,
            upload_pos: 0,
            deep_len: 0,
            stats: TurnStats::default(),
        }
    }

    /// Starts a turn on the whole conversation `tokens`; a turn under way is cancelled. What they share with the tokens held is not
    /// uploaded again, but for the last row.
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
        let common = self.tokens().iter().zip(&tokens).take_while(|(held, new)| held == new).count();
        let kept = common.min(tokens.len() - 1);
        self.truncate_rows(kept);
        self.stats = TurnStats { prompt_tokens: tokens.len(), reused_tokens: self.upload_pos, ..TurnStats::default() };
        let finished = (options.max_new_tokens == 0).then_some(FinishReason::Length);
        self.turn = Some(Turn { options, prompt: tokens.len(), finished });
        self.confirmed = tokens.len();
        self.tokens = tokens;
        Ok(())
    }

    /// What to do next. Asking again without an event in between gives the same answer, except that an append is given out once.
    pub fn poll(&mut self) -> Action {
        let action = self.next_action();
        if let Action::Append(header) = action {
            self.in_flight.push_back(header);
            self.upload_pos = header.end();
            self.stats.uploaded_rows += header.rows;
        }
        action
    }

    /// The answer to [`Action::Draft`]: the drafter's token and its greatest probability. Ignored when no draft is awaited any more.
    pub fn drafted(&mut self, token: u32, confidence: f32) {
        let (Action::Draft { .. }, Some(Turn { options, .. })) = (self.next_action(), &self.turn) else {
            return;
        };
        self.drafts_closed = !options.draft.is_confident(confidence) || options.stop_tokens.contains(&token);
        self.tokens.push(token);
        self.stats.drafted += 1;
    }

    /// The header of an answer from the cloud, and what its rows are for.
    ///
    /// # Errors
    /// When it answers no append in flight; the connection should be closed and [`disconnected`](Self::disconnected) reported.
    pub fn deep(&mut self, header: DeepHeader) -> Result<DeepUse, ProtocolError> {
        if header.epoch < self.epoch {
            return Ok(DeepUse::Stale);
        }
        if header.epoch > self.epoch {
            return Err(ProtocolError::FutureEpoch { epoch: self.epoch, got: header.epoch });
        }
        let Some(&append) = self.in_flight.front() else {
            return Err(ProtocolError::Unasked(header));
        };
        if append.answer() != header {
            return Err(ProtocolError::Mismatch { due: append.answer(), got: header });
        }
        self.in_flight.pop_front();
        self.acknowledged = append.end();
        if header.rows == 0 {
            return Ok(DeepUse::Ack);
        }
        self.deep_len = append.end();
        if append.end() < self.confirmed {
            return Ok(DeepUse::Extend);
        }
        self.judging = Some(append.kind);
        if append.kind == AppendKind::Verify {
            self.stats.rounds += 1;
        }
        Ok(DeepUse::Judge { first_row: self.confirmed - 1 - header.first_row_pos, pos: self.confirmed })
    }

    /// Confirms the target's token for the next row of the round being judged. Without such a round nothing happens and the answer is
    /// [`Judgement::Settled`].
    pub fn judge(&mut self, token: u32) -> Judgement {
        let (Some(kind), Some(turn)) = (self.judging, &mut self.turn) else {
            return Judgement::Settled;
        };
        let agrees = self.tokens.get(self.confirmed) == Some(&token);
        if !agrees {
            self.tokens.truncate(self.confirmed);
            self.tokens.push(token);
        }
        self.confirmed += 1;
        self.stats.generated += 1;
        self.stats.accepted += usize::from(agrees);
        self.stats.verified += usize::from(kind == AppendKind::Verify);
        if turn.options.stop_tokens.contains(&token) {
            turn.finished = Some(FinishReason::Stop);
        } else if self.stats.generated >= turn.options.max_new_tokens || self.confirmed >= self.config.context {
            turn.finished = Some(FinishReason::Length);
        }
        if agrees && turn.finished.is_none() {
            return Judgement::Accepted;
        }
        self.settle();
        Judgement::Settled
    }

    /// There is a connection to a cloud session that holds nothing yet: everything is uploaded again, in a new epoch.
    pub fn connected(&mut self) {
        self.forget_cloud();
        self.epoch += 1;
        self.connected = true;
    }

    /// The connection is gone, and with it what was in flight and what the cloud held. Tokens and drafts stay: after
    /// [`connected`](Self::connected) they are replayed.
    pub fn disconnected(&mut self) {
        self.forget_cloud();
        self.stats.lost_connections += usize::from(self.connected);
        self.connected = false;
    }

    /// Abandons the turn under way, if any: confirmed tokens stay, drafts and answers in flight are dropped.
    pub fn cancel(&mut self) {
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.finished.is_none()) else {
            return;
        };
        turn.finished = Some(FinishReason::Cancelled);
        self.abandon_in_flight();
        self.settle();
    }

    /// The tokens of rows `[pos, pos + rows)`: confirmed tokens, then drafts; empty when there are not so many.
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

    fn next_action(&self) -> Action {
        let Some(turn) = &self.turn else {
            return Action::Wait;
        };
        if let Some(reason) = turn.finished {
            return Action::Finished(reason);
        }
        if self.judging.is_some() {
            return Action::Wait;
        }
        if !self.connected {
            return Action::Connect;
        }
        // The last token's row is a prompt's last row, and judged as such, or the first of a verification.
        let last = self.confirmed - 1;
        let decoding = self.confirmed > turn.prompt;
        let prompt_end = if decoding { last } else { self.confirmed };
        if self.upload_pos < prompt_end {
            let rows = turn.options.chunk.rows(prompt_end - self.upload_pos, self.most_rows());
            return self.append(rows, AppendKind::Prompt);
        }
        if !decoding || self.upload_pos > last {
            return Action::Wait;
        }
        if !self.drafts_closed && self.drafts().len() < self.most_drafts(turn) {
            return Action::Draft { pos: self.tokens.len() };
        }
        self.append(1 + self.drafts().len(), AppendKind::Verify)
    }

    fn append(&self, rows: usize, kind: AppendKind) -> Action {
        let in_flight: usize = self.in_flight.iter().map(|append| append.rows).sum();
        if in_flight > 0 && in_flight + rows > self.config.max_queued_rows {
            return Action::Wait;
        }
        let end = self.upload_pos + rows;
        let want = match kind {
            AppendKind::Verify => Want::All,
            // The output layers need the deep row of every position once, whether or not it is judged.
            AppendKind::Prompt if self.config.output_layers > 0 && end > self.deep_len => Want::All,
            AppendKind::Prompt if end == self.confirmed => Want::Last,
            AppendKind::Prompt => Want::None,
        };
        Action::Append(AppendHeader { epoch: self.epoch, pos: self.upload_pos, rows, want, kind })
    }

    fn most_rows(&self) -> usize {
        self.config.max_append_rows.min(self.config.max_queued_rows).max(1)
    }

    /// Drafts beyond these could not become tokens of this turn, or would not fit an append. A round confirms one token more than it
    /// accepts drafts. The same throughout a round.
    fn most_drafts(&self, turn: &Turn) -> usize {
        let tokens_left = (turn.options.max_new_tokens - self.stats.generated).min(self.config.context - self.confirmed);
        turn.options.draft.max_len.min(tokens_left - 1).min(self.most_rows() - 1)
    }

    /// Ends a round: drafts that were not confirmed go, on both sides. The last token's own row was not among those verified.
    fn settle(&mut self) {
        self.tokens.truncate(self.confirmed);
        self.drafts_closed = false;
        self.judging = None;
        self.truncate_rows(self.confirmed - 1);
    }

    /// Rows from `len` on are no longer valid anywhere; uploads continue from what is valid and acknowledged.
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
        }
    }
}
