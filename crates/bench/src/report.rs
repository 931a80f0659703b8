//! The report of a comparison, for people and programs.

mod bounds;
mod files;
mod finding;
mod paired;
mod remarks;
mod row;
mod text;

pub(crate) use files::Picture;
pub use finding::{Finding, Target};
pub(crate) use paired::Paired;
pub use row::Row;

use serde::Serialize;

use crate::{
    cell::Cell,
    compare::{Compared, Comparison, Mismatch, Plan},
    figures::ms,
    fleet::CloudLoad,
    scenario::Scenario,
};

/// One scenario's results.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: &'static str,
    /// What it stands for.
    pub about: &'static str,
    /// How it was measured.
    pub settings: Settings,
    /// Load by load, mode by mode.
    pub rows: Vec<Row>,
    /// What a sweep was made for.
    pub findings: Vec<Finding>,
    /// How many texts were compared with the whole model's; none where that was not asked for.
    pub compared: Option<Compared>,
    /// Texts that are not the whole model's; always empty when nothing was compared.
    pub mismatches: Vec<Mismatch>,
    /// How the clouds kept to their throttle.
    pub clouds: Vec<CloudLoad>,
    /// The run was stopped before its end.
    pub partial: bool,
    #[serde(skip)]
    cells: Vec<Cell>,
    /// Pictures that only this report has.
    #[serde(skip)]
    extra: Vec<Picture>,
}

/// What a reader must know to measure the same.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// Requests a cell.
    pub requests: usize,
    /// Blocks that they were cut into: how often every mode had its turn.
    pub blocks: usize,
    /// Tokens to generate for each.
    pub max_new_tokens: usize,
    /// Seed of arrivals, prompts and devices.
    pub seed: u64,
    /// Devices.
    pub devices: usize,
    /// The link at the middle distance.
    pub link: String,
    /// Whether devices and clouds were throttled.
    pub paced: bool,
    /// Whether texts were to be compared with the whole model's.
    pub checked: bool,
    /// The service level objective, in milliseconds.
    pub slo: SloMs,
    /// TCP congestion control of this machine's kernel.
    pub congestion_control: Option<String>,
}

/// A service level objective in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SloMs {
    /// Longest time to first token.
    pub ttft: f64,
    /// Longest mean time between tokens.
    pub tbt: f64,
}

impl Report {
    /// The report of a comparison that was made by `plan`.
    #[must_use]
    pub fn new(plan: &Plan, comparison: Comparison, findings: Vec<Finding>) -> Self {
        let Comparison { cells, compared, mismatches, clouds, blocks, partial } = comparison;
        Self {
            scenario: plan.scenario.name,
            about: plan.scenario.about,
            settings: Settings::new(plan, blocks),
            rows: row::rows(&cells, &plan.scenario),
            findings,
            compared,
            mismatches,
            clouds,
            partial,
            cells,
            extra: Vec::new(),
        }
    }

    /// Adds a picture that only this report has.
    pub(crate) fn with(mut self, picture: Picture) -> Self {
        self.extra.push(picture);
        self
    }

    /// Texts that were to be compared with the whole model's and were not.
    #[must_use]
    pub fn not_compared(&self) -> usize {
        self.compared.map_or(0, |compared| compared.planned.saturating_sub(compared.done))
    }

    /// Loads in the order they were measured.
    fn loads(&self) -> Vec<&str> {
        let mut loads: Vec<&str> = self.rows.iter().map(|row| row.load.as_str()).collect();
        loads.dedup();
        loads
    }

    /// Modes in the order of the report.
    fn modes(&self) -> Vec<String> {
        let first = self.rows.first().map(|row| row.load.clone());
        self.rows
            .iter()
            .filter(|row| Some(&row.load) == first.as_ref())
            .map(|row| row.mode.clone())
            .collect()
    }
}

impl Settings {
    fn new(plan: &Plan, blocks: usize) -> Self {
        let Plan { scenario, requests, max_new_tokens, seed, check, .. } = plan;
        let Scenario { devices, slo, .. } = scenario;
        let congestion_control =
            std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").ok();
        Self {
            requests: *requests,
            blocks,
            max_new_tokens: *max_new_tokens,
            seed: *seed,
            devices: *devices,
            link: format!("{}, scaled by the model's hidden size", link_name(&plan.scenario)),
            paced: scenario.throttle.is_some(),
            checked: *check,
            slo: SloMs { ttft: ms(slo.ttft), tbt: ms(slo.tbt) },
            congestion_control: congestion_control.map(|name| name.trim().to_owned()),
        }
    }
}

/// The preset, with what a sweep has changed of it.
fn link_name(scenario: &Scenario) -> String {
    let Scenario { link, rates_times, rtt, .. } = scenario;
    let mut name = link.to_string();
    if *rates_times != 1.0 {
        name += &format!(" with {rates_times} x its rates");
    }
    if let Some(rtt) = rtt {
        name += &format!(" with a round trip of {rtt:?}");
    }
    name
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cell::tests::cell;

    /// A report of the modes of the paper's ablation under one load.
    pub(crate) fn report() -> Report {
        let modes = ["u-shape", "+chunks", "+chunks+drafts", "hat"];
        let plan = Plan {
            scenario: Scenario::named("paper-proportions").unwrap(),
            loads: vec![("mid".to_owned(), 0.5)],
            modes: modes.iter().map(|mode| crate::mode::Mode::named(mode).unwrap()).collect(),
            requests: 4,
            max_new_tokens: 7,
            seed: 1,
            check: false,
        };
        let cells = modes
            .iter()
            .zip([600, 400, 390, 380])
            .zip([50, 40, 30, 25])
            .map(|((mode, ttft), gap)| cell(mode, ttft, gap));
        let comparison = Comparison {
            cells: cells.collect(),
            compared: None,
            mismatches: Vec::new(),
            clouds: Vec::new(),
            blocks: 3,
            partial: false,
        };
        Report::new(&plan, comparison, Vec::new())
    }
}
