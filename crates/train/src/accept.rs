//! Tokens per verification round, by replaying greedy speculative decoding on texts that the model has written.
//!
//! Greedy text is the same whatever is drafted, so it is written once, and a drafter is measured against it afterwards: at a row of the
//! text the drafter either agrees with the text's next token or not, and rounds of every threshold and length follow from that. Only what
//! is drafted after the first disagreement of a round, which is never accepted, must be drafted for real, to count it.

use std::{
    ops::Add,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tricorn_core::{DraftPolicy, Split, argmax, confidence};
use tricorn_model::{Drafter, ModelError, ModelSource};

use crate::{
    config::HeldOutConfig,
    error::TrainError,
    held_out::{self, Written},
    teacher::{Lesson, Teacher},
    text::Renderer,
};

/// The thresholds of a [`HeldOutReport`].
const THRESHOLDS: [f32; 10] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// Speculative decoding with one threshold, measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Confidence below which a draft is its round's last.
    pub threshold: f32,
    /// Accepted drafts and the model's own token, per verification round.
    pub tokens_per_round: f64,
    /// Drafts per verification round.
    pub drafted_per_round: f64,
    /// Speed over decoding without drafts: `tokens_per_round / (1 + draft_cost * drafted_per_round)`.
    pub speedup: f64,
}

/// A drafter, measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOutReport {
    /// Prompts that the model wrote texts for.
    pub prompts: usize,
    /// Tokens written, all texts together.
    pub generated: usize,
    /// Most drafts in a round.
    pub max_draft: usize,
    /// Time of one draft over the time of a round.
    pub draft_cost: f64,
    /// One point for each threshold.
    pub curve: Vec<CurvePoint>,
    /// The point with the greatest speed-up.
    pub best: CurvePoint,
}

/// Measures a model's drafter on the prompts of a JSONL file, drawing the whole curve over thresholds.
///
/// Sooner than at the end, and then on fewer tokens, when `stop` is set.
///
/// # Errors
/// When the file or the model cannot be used.
pub fn measure(
    source: &Arc<ModelSource>,
    drafter: &Drafter,
    split: Split,
    valid: &Path,
    config: &HeldOutConfig,
    stop: &AtomicBool,
) -> Result<HeldOutReport, TrainError> {
    config.validate()?;
    let teacher = Teacher::load(source, split)?;
    let texts = held_out::write(&teacher, &Renderer::new(source)?, valid, config, source.config().context, stop)?;
    report(&teacher, drafter, &texts, config)
}

/// The whole curve on texts that are written already.
pub(crate) fn report(teacher: &Teacher, drafter: &Drafter, texts: &[Written], config: &HeldOutConfig) -> Result<HeldOutReport, TrainError> {
    let draft_cost = match (config.draft_cost, texts.first()) {
        (Some(cost), _) => cost,
        (None, Some(text)) => held_out::measure_draft_cost(teacher, drafter, text)?,
        (None, None) => 0.0,
    };
    Ok(Replay::new(teacher, drafter, texts, config.max_draft, true)?.report(draft_cost))
}

/// What the drafter does after one row of a text.
#[derive(Clone, Debug, Default, PartialEq)]
struct Guess {
    agrees: bool,
    draft: Draft,
    /// The drafts that would follow one that does not agree.
    astray: Vec<Draft>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Draft {
    confidence: f32,
    ends_text: bool,
}

/// The guesses on one text.
#[derive(Clone, Debug, PartialEq)]
struct Text {
    /// For the rows from the one of the first generated token to the one before the last token.
    guesses: Vec<Guess>,
    /// Tokens that were still allowed when the model ended the text.
    spare: usize,
}

/// Rounds of one policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rounds {
    pub(crate) rounds: usize,
    pub(crate) tokens: usize,
    pub(crate) drafted: usize,
}

impl Add for Rounds {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { rounds: self.rounds + other.rounds, tokens: self.tokens + other.tokens, drafted: self.drafted + other.drafted }
    }
}

/// What a drafter would do on a set of texts, under any policy of at most `max_draft` drafts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Replay {
    texts: Vec<Text>,
    max_draft: usize,
}

impl Replay {
    /// Runs the drafter over the texts. Without `astray` the drafts after a disagreement are left out, which is much faster; acceptance is
    /// exact all the same, and drafts are counted too low.
    pub(crate) fn new(teacher: &Teacher, drafter: &Drafter, texts: &[Written], max_draft: usize, astray: bool) -> Result<Self, ModelError> {
        let texts = texts.par_iter().map(|text| replay_text(teacher, drafter, text, if astray { max_draft } else { 0 }));
        Ok(Self { texts: texts.collect::<Result<_, _>>()?, max_draft })
    }

    /// Counts the rounds under a policy.
    pub(crate) fn rounds(&self, policy: DraftPolicy) -> Rounds {
        let policy = DraftPolicy { max_len: policy.max_len.min(self.max_draft), ..policy };
        self.texts.iter().map(|text| text.rounds(policy)).fold(Rounds::default(), Rounds::add)
    }

    /// Tokens per round when drafting never stops early.
    pub(crate) fn tokens_per_round(&self) -> f64 {
        let Rounds { rounds, tokens, .. } = self.rounds(DraftPolicy { max_len: self.max_draft, threshold: 0.0 });
        tokens as f64 / rounds.max(1) as f64
    }

    /// The whole curve over thresholds.
    pub(crate) fn report(&self, draft_cost: f64) -> HeldOutReport {
        let point = |threshold| {
            let Rounds { rounds, tokens, drafted } = self.rounds(DraftPolicy { max_len: self.max_draft, threshold });
            let rounds = rounds.max(1) as f64;
            let (tokens_per_round, drafted_per_round) = (tokens as f64 / rounds, drafted as f64 / rounds);
            let speedup = tokens_per_round / (1.0 + draft_cost * drafted_per_round);
            CurvePoint { threshold, tokens_per_round, drafted_per_round, speedup }
        };
        let curve: Vec<CurvePoint> = THRESHOLDS.into_iter().map(point).collect();
        let best = curve.iter().copied().fold(curve[0], |best, point| if point.speedup > best.speedup { point } else { best });
        let generated = self.texts.iter().map(|text| text.guesses.len() + 1).sum();
        HeldOutReport { prompts: self.texts.len(), generated, max_draft: self.max_draft, draft_cost, curve, best }
    }
}

impl Text {
    /// Plays [`tricorn_core::DeviceSession`]'s rounds: the first generated token comes with the prompt's answer, and the others in rounds
    /// of some drafts and the model's own token.
    fn rounds(&self, policy: DraftPolicy) -> Rounds {
        let mut counts = Rounds { tokens: self.guesses.len(), ..Rounds::default() };
        let mut at = 0;
        while at < self.guesses.len() {
            let left = self.guesses.len() - at;
            let (accepted, drafted) = self.round(at, policy.max_len.min(left + self.spare - 1), policy);
            counts.rounds += 1;
            counts.drafted += drafted;
            at += (accepted + 1).min(left);
        }
        counts
    }

    /// Drafts accepted and made in the round whose first draft follows row `at`, at most `most`.
    fn round(&self, at: usize, most: usize, policy: DraftPolicy) -> (usize, usize) {
        let goes_on = |draft: &Draft| policy.is_confident(draft.confidence) && !draft.ends_text;
        for (accepted, guess) in self.guesses[at..].iter().take(most).enumerate() {
            let drafted = accepted + 1;
            if !goes_on(&guess.draft) {
                return (accepted + usize::from(guess.agrees), drafted);
            }
            if !guess.agrees {
                let more = guess.astray.iter().position(|draft| !goes_on(draft)).map_or(guess.astray.len(), |last| last + 1);
                return (accepted, (drafted + more).min(most));
            }
        }
        (most, most)
    }
}

/// The guesses of a drafter on one text, with at most `astray` drafts in a round that starts with one that does not agree.
fn replay_text(teacher: &Teacher, drafter: &Drafter, text: &Written, astray: usize) -> Result<Text, ModelError> {
    let Lesson { tokens, first, shallow, .. } = &text.lesson;
    let (rows, start) = (tokens.len() - 1, first + 1);
    let context = tokens.len() + astray;
    let mut input = teacher.input.new_kv(&teacher.pool, context);
    let mut kv = drafter.new_kv(&teacher.pool, context);
    let guessed = drafter.forward_at(&mut kv, 0, shallow, &[])?;
    if astray > 0 {
        teacher.shallow_at(&mut input, 0, &tokens[..rows])?;
    }
    let mut guesses = Vec::with_capacity(rows - start);
    // Backwards, because drafting from a row overwrites the caches behind it.
    for row in (start..rows).rev() {
        let logits = teacher.output.logits(&guessed[row * teacher.hidden..][..teacher.hidden]);
        let (mut token, draft) = drafted(teacher, &logits);
        let agrees = token == tokens[row + 1];
        let mut detour = Vec::new();
        if !agrees {
            for pos in (row + 1..).take(astray.saturating_sub(1)) {
                let shallow = teacher.shallow_at(&mut input, pos, &[token])?;
                let logits = teacher.output.logits(&drafter.forward_at(&mut kv, pos, &shallow, &[])?);
                let draft;
                (token, draft) = drafted(teacher, &logits);
                detour.push(draft);
                if draft.ends_text {
                    break;
                }
            }
        }
        guesses.push(Guess { agrees, draft, astray: detour });
    }
    guesses.reverse();
    Ok(Text { guesses, spare: text.spare })
}

fn drafted(teacher: &Teacher, logits: &[f32]) -> (u32, Draft) {
    let token = argmax(logits);
    (token, Draft { confidence: confidence(logits), ends_text: teacher.end_tokens.contains(&token) })
}

#[cfg(test)]
#[path = "accept/tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
