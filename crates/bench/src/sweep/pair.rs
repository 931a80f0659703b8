//! Pairs: one setting against another, everything else equal.

use std::time::Duration;

use tricorn_core::Streaming;
use tricorn_model::DrafterKind;

use super::inputs::Inputs;
use crate::{
    compare::{Plan, compare},
    error::BenchError,
    mode::{Drafts, Mode},
    report::{Finding, Paired, Report, Target},
    scenario::Scenario,
};

/// Two modes under one condition.
pub(super) struct Pair {
    what: &'static str,
    /// The mode that both are made of, and what makes them differ.
    base: &'static str,
    variants: [Variant; 2],
    scenario: fn(&mut Scenario),
    /// Time between tokens of the second over that of the first.
    target: Target,
}

type Variant = (&'static str, fn(&mut Drafts));

/// The paper's ablation gains 12 to 14 %.
pub(super) const PARALLEL: Pair = Pair {
    what: "TBT with parallel drafting over without",
    base: "hat",
    variants: [("hat, parallel off", |drafts| drafts.parallel = 0), ("hat", |_| {})],
    scenario: |scenario| scenario.rtt = Some(Duration::from_millis(20)),
    target: Target::AtMost(0.9),
};

/// A drafter that reads deep rows should save a quarter.
pub(super) const DRAFTERS: Pair = Pair {
    what: "TBT with the fused drafter over the adapter",
    base: "hat",
    variants: [("hat", |_| {}), ("hat-fused", |drafts| drafts.kind = DrafterKind::Fused)],
    scenario: |_| {},
    target: Target::AtMost(0.75),
};

/// It must never cost: the device decides by what it measures.
pub(super) const STREAMING: Pair = Pair {
    what: "TBT with streaming where it pays over never",
    base: "hat",
    variants: [("hat, together", |drafts| drafts.streaming = Streaming::Never), ("hat", |_| {})],
    scenario: |_| {},
    target: Target::AtMost(1.0),
};

impl Pair {
    pub(super) fn modes(&self) -> Result<Vec<Mode>, BenchError> {
        self.variants
            .iter()
            .map(|(name, change)| Ok(Mode::named(self.base)?.with(name, change)))
            .collect()
    }

    pub(super) fn run(&self, inputs: Inputs<'_>, plan: &Plan) -> Result<Report, BenchError> {
        let mut plan = plan.clone();
        (self.scenario)(&mut plan.scenario);
        let comparison =
            compare(inputs.setup, inputs.prompts, &plan, inputs.observer, inputs.stop)?;
        let findings = plan.loads.iter().map(|(load, _)| {
            let cell = |mode: &str| {
                comparison.cells.iter().find(|cell| cell.mode == mode && cell.load == *load)
            };
            let [(first, _), (second, _)] = self.variants;
            let measured = cell(second)
                .zip(cell(first))
                .and_then(|(second, first)| Paired::of(second, first).tbt);
            Finding { what: format!("{}, load {load}", self.what), measured, target: self.target }
        });
        let findings = findings.collect();
        Ok(Report::new(&plan, comparison, findings))
    }
}
