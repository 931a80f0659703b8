//! Drafts that a drafter would make from each row of a text.
//!
//! On the text a draft's shallow row is known; behind the first draft that does not agree with the
//! text it must be computed for what was drafted.

use std::sync::atomic::{AtomicBool, Ordering};

use tricorn_core::{argmax, confidence};
use tricorn_model::{Drafter, KvCache, ModelError, SeqRows};

use super::rounds::{Chain, Draft};
use crate::lessons::teacher::{Lesson, Teacher};

/// Drafting on the texts of one teacher.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chains<'a> {
    pub(super) teacher: &'a Teacher,
    pub(super) drafter: &'a Drafter,
    /// Most drafts in a round.
    pub(super) max_draft: usize,
    /// Whether to go on behind a draft that does not agree, which is never accepted and only
    /// counted.
    pub(super) astray: bool,
    /// Ends the work soon.
    pub(super) stop: &'a AtomicBool,
}

/// One round that is being drafted.
struct Round {
    chain: Chain,
    /// Position of the next row.
    pos: usize,
    /// The last draft, whose row is next.
    token: u32,
    /// The drafter's last guess.
    guess: Vec<f32>,
    kv: KvCache,
    /// The first layers' cache, once the round has left the text.
    input: Option<KvCache>,
}

impl Round {
    /// Whether the text agrees with all drafts so far.
    fn on_text(&self) -> bool {
        self.chain.agreeing == self.chain.drafts.len()
    }
}

impl Chains<'_> {
    /// The chains from every row of a lesson that a round can begin at; `None` when it was told to
    /// stop.
    pub(super) fn of(&self, lesson: &Lesson) -> Result<Option<Vec<Chain>>, ModelError> {
        if self.drafter.reads_deep() { self.by_round(lesson) } else { self.by_row(lesson) }
    }

    /// For drafters whose guess at a row of the text does not depend on where the round began: one
    /// pass gives them all.
    fn by_row(&self, lesson: &Lesson) -> Result<Option<Vec<Chain>>, ModelError> {
        let (teacher, drafter) = (self.teacher, self.drafter);
        let Lesson { tokens, first, shallow, .. } = lesson;
        let (rows, start) = (tokens.len() - 1, first + 1);
        let context = tokens.len() + self.max_draft;
        let mut input = teacher.input.new_kv(&teacher.pool, context);
        let mut kv = drafter.new_kv(&teacher.pool, context);
        let guessed = drafter.forward_at(&mut kv, 0, shallow, &[])?;
        if self.astray {
            teacher.shallow_at(&mut input, 0, &tokens[..rows])?;
        }
        let mut chains = Vec::with_capacity(rows - start);
        let mut next = Chain::default();
        // Backwards, because drafting from a row overwrites the caches behind it, and a chain goes
        // on as the next row's does.
        for row in (start..rows).rev() {
            if self.is_told_to_stop() {
                return Ok(None);
            }
            let logits =
                teacher.output.logits(&guessed[row * teacher.hidden..][..teacher.hidden])?;
            let (mut token, draft) = self.draft(&logits);
            let mut chain = Chain { drafts: vec![draft], agreeing: 0 };
            if token == tokens[row + 1] {
                chain.agreeing = 1 + next.agreeing;
                chain.drafts.extend_from_slice(&next.drafts);
            } else if self.astray {
                for pos in (row + 1..).take(self.max_draft - 1) {
                    if chain.drafts.last().is_some_and(|draft| draft.ends_text)
                        || self.is_told_to_stop()
                    {
                        break;
                    }
                    let shallow = teacher.shallow_at(&mut input, pos, &[token])?;
                    let logits = teacher.output.logits(&drafter.forward_at(
                        &mut kv,
                        pos,
                        &shallow,
                        &[],
                    )?)?;
                    let draft;
                    (token, draft) = self.draft(&logits);
                    chain.drafts.push(draft);
                }
            }
            chain.drafts.truncate(self.max_draft);
            chain.agreeing = chain.agreeing.min(self.max_draft);
            next.clone_from(&chain);
            chains.push(chain);
        }
        chains.reverse();
        Ok((!self.is_told_to_stop()).then_some(chains))
    }

    /// For drafters that read deep rows: every round is drafted on its own, from true rows up to
    /// where it begins and its own guesses from there on. One draft of all rounds at a time.
    fn by_round(&self, lesson: &Lesson) -> Result<Option<Vec<Chain>>, ModelError> {
        let (teacher, drafter) = (self.teacher, self.drafter);
        let (rows, start) = (lesson.rows(), lesson.first + 1);
        let context = lesson.tokens.len() + self.max_draft;
        let mut kv = drafter.new_kv(&teacher.pool, context);
        let guessed =
            drafter.forward_at(&mut kv, 0, &lesson.shallow, &lesson.previous(teacher.hidden))?;
        let mut input = teacher.input.new_kv(&teacher.pool, context);
        if self.astray {
            teacher.shallow_at(&mut input, 0, &lesson.tokens[..rows])?;
        }
        let mut rounds = (start..rows)
            .map(|row| {
                let guess = guessed[row * teacher.hidden..][..teacher.hidden].to_vec();
                Ok(Round {
                    chain: Chain::default(),
                    pos: row,
                    token: 0,
                    guess,
                    kv: kv.fork()?,
                    input: None,
                })
            })
            .collect::<Result<Vec<_>, ModelError>>()?;
        let mut active: Vec<&mut Round> = rounds.iter_mut().collect();
        for drafted in 1..=self.max_draft {
            if self.is_told_to_stop() {
                return Ok(None);
            }
            let guesses: Vec<f32> =
                active.iter().flat_map(|round| round.guess.iter().copied()).collect();
            let logits = teacher.output.logits(&guesses)?;
            for (round, logits) in
                active.iter_mut().zip(logits.chunks_exact(teacher.output.vocab()))
            {
                let draft;
                (round.token, draft) = self.draft(logits);
                round.pos += 1;
                if round.on_text() && round.token == lesson.tokens[round.pos] {
                    round.chain.agreeing += 1;
                }
                round.chain.drafts.push(draft);
            }
            active.retain(|round| self.goes_on(round, rows));
            if drafted < self.max_draft && !active.is_empty() {
                self.guess(&mut active, lesson, &input)?;
            }
        }
        Ok(Some(rounds.into_iter().map(|round| round.chain).collect()))
    }

    fn is_told_to_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn goes_on(&self, round: &Round, rows: usize) -> bool {
        let ended = round.chain.drafts.last().is_some_and(|draft| draft.ends_text);
        // On the text no round drafts behind its last token: no policy leaves room for that.
        !ended && if round.on_text() { round.pos < rows } else { self.astray }
    }

    /// The next guesses of all rounds, from their last drafts and guesses.
    fn guess(
        &self,
        active: &mut [&mut Round],
        lesson: &Lesson,
        input: &KvCache,
    ) -> Result<(), ModelError> {
        let shallow = self.shallow(active, lesson, input)?;
        let previous: Vec<f32> =
            active.iter().flat_map(|round| round.guess.iter().copied()).collect();
        let mut batch: Vec<SeqRows<'_>> = active
            .iter_mut()
            .map(|round| SeqRows { pos: round.pos, rows: 1, kv: &mut round.kv })
            .collect();
        let guesses = self.drafter.forward(&mut batch, &shallow, &previous)?;
        for (round, guess) in active.iter_mut().zip(guesses.chunks_exact(self.teacher.hidden)) {
            round.guess.copy_from_slice(guess);
        }
        Ok(())
    }

    /// The shallow rows of the rounds' last drafts: the lesson's own as long as a round is on the
    /// text.
    fn shallow(
        &self,
        active: &mut [&mut Round],
        lesson: &Lesson,
        input: &KvCache,
    ) -> Result<Vec<f32>, ModelError> {
        let hidden = self.teacher.hidden;
        let (mut batch, mut tokens) = (Vec::new(), Vec::new());
        for round in active.iter_mut().filter(|round| !round.on_text()) {
            let kv = match &mut round.input {
                Some(kv) => kv,
                none => none.insert(input.fork()?),
            };
            batch.push(SeqRows { kv, pos: round.pos, rows: 1 });
            tokens.push(round.token);
        }
        let astray = self.teacher.shallow(&mut batch, &tokens)?;
        let mut astray = astray.chunks_exact(hidden);
        let row = |round: &&mut Round| {
            if round.on_text() {
                lesson.shallow[round.pos * hidden..].get(..hidden)
            } else {
                astray.next()
            }
        };
        Ok(active.iter().filter_map(row).flatten().copied().collect())
    }

    fn draft(&self, logits: &[f32]) -> (u32, Draft) {
        let token = argmax(logits);
        (
            token,
            Draft {
                confidence: confidence(logits),
                ends_text: self.teacher.end_tokens.contains(&token),
            },
        )
    }
}
