//! Tokens per verification round, by replaying greedy speculative decoding on texts that the model
//! has written.
//!
//! Greedy text is the same whatever is drafted, so it is written once, and a drafter is measured
//! against it afterwards: from every row of the text the longest round that any policy allows is
//! drafted, and the rounds of every threshold and length follow from that.

mod chains;
pub(crate) mod held_out;
mod rounds;

use std::{
    ops::Add,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tricorn_core::{DraftPolicy, Split};
use tricorn_model::{Drafter, ModelError, ModelSource};

use crate::{
    config::HeldOutConfig,
    error::TrainError,
    lessons::{teacher::Teacher, text::Renderer},
};
use chains::Chains;
use held_out::Written;
pub(crate) use rounds::Rounds;
use rounds::Text;

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
    /// Speed over decoding without drafts: `tokens_per_round / (1 + draft_cost *
    /// drafted_per_round)`.
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

/// Measures a model's drafter on the prompts of a JSONL file, drawing the whole curve over
/// thresholds.
///
/// # Errors
/// When the file or the model cannot be used; [`TrainError::Stopped`] soon after `stop` is set.
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
    let texts = held_out::write(
        &teacher,
        &Renderer::new(source)?,
        valid,
        config,
        source.config().context,
        stop,
    )?;
    report(&teacher, drafter, &texts, config, stop)?.ok_or(TrainError::Stopped)
}

/// The whole curve on texts that are written already; `None` when `stop` is set meanwhile.
pub(crate) fn report(
    teacher: &Teacher,
    drafter: &Drafter,
    texts: &[Written],
    config: &HeldOutConfig,
    stop: &AtomicBool,
) -> Result<Option<HeldOutReport>, TrainError> {
    let draft_cost = match (config.draft_cost, texts.first()) {
        (Some(cost), _) => cost,
        (None, Some(text)) => held_out::measure_draft_cost(teacher, drafter, text)?,
        (None, None) => 0.0,
    };
    Ok(Replay::new(teacher, drafter, texts, config.max_draft, true, stop)?
        .map(|replay| replay.report(draft_cost)))
}

/// What a drafter would do on a set of texts, under any policy of at most `max_draft` drafts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Replay {
    texts: Vec<Text>,
    max_draft: usize,
}

impl Replay {
    /// Runs the drafter over the texts. Without `astray` the drafts after a disagreement are left
    /// out, which is much faster; acceptance is exact all the same, and drafts are counted too low.
    /// `None` soon after `stop` is set: a share of the texts would be another measure.
    pub(crate) fn new(
        teacher: &Teacher,
        drafter: &Drafter,
        texts: &[Written],
        max_draft: usize,
        astray: bool,
        stop: &AtomicBool,
    ) -> Result<Option<Self>, ModelError> {
        let chains = Chains { teacher, drafter, max_draft, astray, stop };
        let text = |text: &Written| {
            Ok::<_, ModelError>(
                chains.of(&text.lesson)?.map(|chains| Text { chains, spare: text.spare }),
            )
        };
        let texts = texts.par_iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let texts: Option<Vec<Text>> = texts.into_iter().collect();
        Ok(texts.map(|texts| Self { texts, max_draft }))
    }

    /// Counts the rounds under a policy.
    pub(crate) fn rounds(&self, policy: DraftPolicy) -> Rounds {
        let policy = DraftPolicy { max_len: policy.max_len.min(self.max_draft), ..policy };
        self.texts.iter().map(|text| text.rounds(policy)).fold(Rounds::default(), Rounds::add)
    }

    /// Tokens per round when drafting never stops early.
    pub(crate) fn tokens_per_round(&self) -> f64 {
        let Rounds { rounds, tokens, .. } = self.rounds(DraftPolicy::up_to(self.max_draft, 0.0));
        tokens as f64 / rounds.max(1) as f64
    }

    /// The whole curve over thresholds.
    pub(crate) fn report(&self, draft_cost: f64) -> HeldOutReport {
        let point = |threshold| {
            let Rounds { rounds, tokens, drafted } =
                self.rounds(DraftPolicy::up_to(self.max_draft, threshold));
            let rounds = rounds.max(1) as f64;
            let (tokens_per_round, drafted_per_round) =
                (tokens as f64 / rounds, drafted as f64 / rounds);
            let speedup = tokens_per_round / (1.0 + draft_cost * drafted_per_round);
            CurvePoint { threshold, tokens_per_round, drafted_per_round, speedup }
        };
        let curve: Vec<CurvePoint> = THRESHOLDS.into_iter().map(point).collect();
        let best = curve
            .iter()
            .copied()
            .fold(curve[0], |best, point| if point.speedup > best.speedup { point } else { best });
        let generated = self.texts.iter().map(|text| text.chains.len() + 1).sum();
        HeldOutReport {
            prompts: self.texts.len(),
            generated,
            max_draft: self.max_draft,
            draft_cost,
            curve,
            best,
        }
    }
}

#[cfg(test)]
mod tests;
