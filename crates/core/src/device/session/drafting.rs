//! A round's drafts, and the continuations beside it.

use super::{DeviceSession, OpenTurn};
use crate::{
    Action,
    device::{
        Branch, Draft, DraftPolicy, DraftStop, Guess, Streaming,
        branch::choose_branches,
        round::{Branching, Round},
        streaming::streaming_pays,
    },
};

/// Rounds after which a draft is made even where drafts have been found not to pay.
const ROUNDS_UNTIL_ANOTHER_LOOK: usize = 16;

/// When a draft is made.
#[derive(Clone, Copy)]
enum Drafting {
    /// Before the round goes up, which it holds up.
    First,
    /// While a verification is out, in time that nothing else would use.
    Meanwhile,
}

impl DeviceSession {
    /// The answer to [`Action::Draft`]. Ignored when no draft is awaited any more.
    pub fn drafted(&mut self, draft: Draft) {
        let (Action::Draft { .. }, Some(turn)) = (self.next_action(), &self.turn) else {
            return;
        };
        self.tokens.push(draft.token);
        self.round.drafts.push(draft);
        self.round.closed = !self.goes_on(turn, &self.round.drafts, Drafting::First);
        self.stats.drafted += 1;
    }

    /// The answer to [`Action::Guess`]: what the drafter holds possible after the last draft,
    /// likeliest first. Ignored when no guess is awaited any more.
    pub fn guessed(&mut self, guesses: Vec<Guess>) {
        let (Action::Guess { .. }, Some(turn)) = (self.next_action(), &self.turn) else {
            return;
        };
        let draft = &turn.options.draft;
        let mut branches = choose_branches(
            self.round.first,
            &self.round.drafts,
            guesses,
            draft.branch,
            draft.parallel.min(DraftPolicy::MAX_PARALLEL),
            |draft| self.calibration.chance(draft.confidence),
            |token| turn.options.stop_tokens.contains(&token),
        );
        branches.retain(|branch| branch.pos >= self.confirmed);
        let steps_left = self.branch_steps(turn).saturating_sub(1);
        self.round.branching = Branching::Under { branches, steps_left };
    }

    /// The answer to [`Action::Branch`]: a draft for each of
    /// [`open_branches`](Self::open_branches), in their order. Ignored when none is awaited any
    /// more.
    pub fn branched(&mut self, drafts: Vec<Draft>) {
        let (Action::Branch, Some(turn)) = (self.next_action(), &self.turn) else {
            return;
        };
        let open: Vec<usize> = self.open_branches().collect();
        let mut branching = std::mem::take(&mut self.round.branching);
        if let Branching::Under { branches, steps_left } = &mut branching {
            *steps_left -= 1;
            self.stats.branch_rounds +=
                usize::from(branches.iter().all(|branch| branch.drafts.is_empty()));
            for (index, draft) in open.into_iter().zip(drafts) {
                let Some(branch) = branches.get_mut(index) else { continue };
                branch.drafts.push(draft);
                branch.closed = !self.goes_on(turn, &branch.drafts, Drafting::Meanwhile);
                self.stats.branch_tokens += 1;
            }
        }
        self.round.branching = branching;
    }

    /// The indices, among [`branches`](Self::branches), of those to draft on: the ones that the
    /// target may still take, and whose last draft is neither in doubt nor the last that could be
    /// used.
    pub fn open_branches(&self) -> impl Iterator<Item = usize> {
        let branches = self.branches().iter().enumerate();
        let open = branches.filter(|(_, b)| {
            !b.closed && b.pos >= self.confirmed && b.next_pos() < self.drafts_end(b.pos + 1)
        });
        open.map(|(index, _)| index)
    }

    /// The round that follows the tokens confirmed, with the drafts of a continuation where there
    /// is one.
    pub(super) fn begin_round(&mut self, branch: Option<Branch>) {
        let Some(turn) = &self.turn else { return };
        let (first, end) = (self.confirmed, self.drafts_end(self.confirmed));
        let mut drafts = branch.map_or_else(Vec::new, |branch| branch.drafts);
        drafts.truncate(end.saturating_sub(first));
        let closed = !self.goes_on(turn, &drafts, Drafting::First);
        let stream = match turn.options.draft.stream {
            Streaming::Never => false,
            Streaming::Always => true,
            Streaming::Auto => {
                let (drafted, accepted) = (self.habit.drafted.get(), self.habit.accepted.get());
                let pays = |(drafted, accepted): (f64, f64)| {
                    streaming_pays(
                        &self.conditions,
                        drafted.round() as usize,
                        accepted.round() as usize,
                    )
                };
                drafted.zip(accepted).is_some_and(pays)
            }
        };
        self.tokens.extend(drafts.iter().map(|draft| draft.token));
        self.stats.drafted += drafts.len();
        self.round = Round {
            first,
            end,
            drafts,
            closed,
            stream,
            answered: false,
            branching: Branching::NotYet,
        };
    }

    /// Where the drafts after the token at `confirmed - 1` end: those beyond could not become
    /// tokens of this turn, or would not fit an append. A round confirms one token more than it
    /// accepts drafts.
    pub(super) fn drafts_end(&self, confirmed: usize) -> usize {
        let Some(turn) = &self.turn else { return 0 };
        let tokens_end =
            turn.prompt.saturating_add(turn.options.max_new_tokens).min(self.config.context);
        let wish = confirmed.saturating_add(turn.options.draft.max_len);
        wish.min(tokens_end - 1).min(confirmed - 1 + self.most_rows())
    }

    /// Whether a draft after `drafts` is worth its time.
    fn goes_on(&self, turn: &OpenTurn, drafts: &[Draft], drafting: Drafting) -> bool {
        if drafts
            .last()
            .is_some_and(|draft| draft.ends || turn.options.stop_tokens.contains(&draft.token))
        {
            return false;
        }
        let stop = turn.options.draft.stop;
        let confident = drafts.last().is_none_or(|draft| stop.is_confident(draft.confidence));
        // What a draft costs is only known by drafting: where it was found too dear, that is looked
        // at again now and then.
        let looks_again =
            drafts.is_empty() && self.stats.rounds.is_multiple_of(ROUNDS_UNTIL_ANOTHER_LOOK);
        match stop {
            DraftStop::Expected { .. } if looks_again => true,
            DraftStop::Threshold(_) => confident,
            DraftStop::Expected { .. } => match self.tokens_per_draft(drafts.len(), drafting) {
                Some(price) => {
                    drafts
                        .iter()
                        .map(|draft| self.calibration.chance(draft.confidence))
                        .product::<f64>()
                        > price
                }
                None => confident,
            },
        }
    }

    /// What one draft more costs, in tokens: those that are generated in the time it takes to
    /// draft, send and verify it after `drafts` others. `None` where that is not known.
    fn tokens_per_draft(&self, drafts: usize, drafting: Drafting) -> Option<f64> {
        let conditions = &self.conditions;
        let verify =
            conditions.verify_seconds(drafts + 2)? - conditions.verify_seconds(drafts + 1)?;
        let draft = match drafting {
            Drafting::First => conditions.draft_seconds(1)?,
            Drafting::Meanwhile => 0.0,
        };
        Some((draft + verify) * conditions.tokens_per_second?)
    }

    /// How many draft steps fit into the wait for this round's answer with half a step in hand, the
    /// guess after its last draft included; 0 where none would be of use. Where the wait is not
    /// known, as many as there could be.
    ///
    /// A step too many delays the round, a step too few costs one draft of the next. Fewer than two
    /// drafts in each continuation (or one, where a round has no more) are not worth the copies of
    /// the caches and the processor's time.
    pub(super) fn branch_steps(&self, turn: &OpenTurn) -> usize {
        let draft = &turn.options.draft;
        let next = self.tokens.len() + 1;
        let last = self.tokens.len().checked_sub(1).and_then(|pos| self.round.draft_at(pos));
        let ends =
            last.is_some_and(|draft| draft.ends || turn.options.stop_tokens.contains(&draft.token));
        if draft.parallel == 0 || ends || self.drafts_end(next) <= next {
            return 0;
        }
        let most = draft.max_len.saturating_add(1);
        let step = self.conditions.draft_seconds(draft.parallel.min(DraftPolicy::MAX_PARALLEL));
        let steps = match self
            .conditions
            .verify_seconds(self.tokens.len() + 1 - self.confirmed)
            .zip(step)
        {
            Some((wait, step)) if step > 0.0 => most.min((wait / step - 0.5) as usize),
            _ => most,
        };
        if steps > draft.max_len.min(2) { steps } else { 0 }
    }
}
