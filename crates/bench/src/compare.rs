//! One scenario: every mode under every load, interleaved.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    BenchError, Observer, Stop,
    cell::Cell,
    cpu::CpuTimes,
    fleet::{CloudLoad, Fleet, Job, Outcome},
    mode::Mode,
    prompts::Prompts,
    reference::{Mismatch, difference, reference},
    rng::Rng,
    scenario::Scenario,
    setup::Setup,
    workload::{Request, Traffic, blocks},
};

/// Tokens of a warm-up's prompt and text: enough for a device to learn its link and its cloud.
const WARM_UP: (usize, usize) = (128, 16);
/// Requests a block has for every device.
const BLOCK_PER_DEVICE: usize = 2;
/// Use of the seed for warm-ups; the workload has its own.
const WARM_UP_STREAM: u64 = 100;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Links, devices, cloud.
    pub scenario: Scenario,
    /// Names and rates, in requests a second.
    pub loads: Vec<(String, f64)>,
    /// Methods, in the order of the report.
    pub modes: Vec<Mode>,
    /// Requests a cell.
    pub requests: usize,
    /// Tokens to generate for each.
    pub max_new_tokens: usize,
    /// Decides arrivals, prompts and devices.
    pub seed: u64,
    /// Whether every text is compared with the whole model's.
    pub check: bool,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Load by load, in the order of the plan's modes.
    pub cells: Vec<Cell>,
    /// Texts that are not the whole model's.
    pub mismatches: Vec<Mismatch>,
    /// How each cloud kept its pace.
    pub clouds: Vec<CloudLoad>,
    /// The run was stopped before its end.
    pub partial: bool,
}

impl Plan {
    /// # Errors
    /// When there is nothing to measure or a number makes no sense.
    pub fn check(&self) -> Result<(), BenchError> {
        let setting = |what, value: String, instead: &str| Err(BenchError::Setting { what, value, instead: instead.to_owned() });
        if self.scenario.devices == 0 || self.scenario.devices > MOST_DEVICES {
            return setting("the number of devices", self.scenario.devices.to_string(), &format!("1 to {MOST_DEVICES}"));
        }
        if self.requests == 0 || self.requests > MOST_REQUESTS {
            return setting("the number of requests", self.requests.to_string(), &format!("1 to {MOST_REQUESTS}"));
        }
        for (_, rate) in &self.loads {
            if !rate.is_finite() || *rate < LEAST_RATE || *rate > MOST_RATE {
                return setting("the rate", format!("{rate} requests/s"), &format!("{LEAST_RATE} to {MOST_RATE}"));
            }
        }
        if self.modes.is_empty() {
            return setting("the list of modes", "empty".to_owned(), &format!("some of {}", Mode::NAMES.join(", ")));
        }
        Ok(())
    }

    fn block(&self) -> usize {
        self.scenario.devices * BLOCK_PER_DEVICE
    }
}

/// Threads and sockets of this process set the bound.
const MOST_DEVICES: usize = 64;
const MOST_REQUESTS: usize = 100_000;
const LEAST_RATE: f64 = 1e-3;
const MOST_RATE: f64 = 1e3;

/// Runs a plan. One warm-up for every device and mode is not counted.
///
/// # Errors
/// When the plan makes no sense, a cloud or a link does not start, or the reference cannot be computed. A request that fails is counted.
pub fn compare(setup: &Setup, prompts: &Prompts, plan: &Plan, observer: &dyn Observer, stop: &Stop) -> Result<Comparison, BenchError> {
    plan.check()?;
    let Plan { scenario, modes, .. } = plan;
    let traffic = |rate| {
        let Plan { requests, max_new_tokens, seed, .. } = *plan;
        Traffic { rate, requests, devices: scenario.devices, block: plan.block(), lengths: scenario.lengths, max_new_tokens, seed }
    };
    observer.planned(modes.len() * (scenario.devices + plan.loads.len() * plan.requests));
    let mut cells = Vec::new();
    let mut check = Check { plan, setup, texts: BTreeMap::new(), mismatches: Vec::new() };
    let fleet = Fleet::start(setup, scenario, modes)?;
    let job = |mode| Job { mode, stop, observer };
    for mode in modes {
        observer.measuring(&format!("{}, warming up, {}", scenario.name, mode.name));
        fleet.run(job(mode), &warm_ups(scenario.devices, plan, prompts));
    }
    for (load, rate) in &plan.loads {
        let blocks = blocks(&traffic(*rate), prompts);
        let mut of_load: Vec<Cell> = modes.iter().map(|mode| Cell::new(load, *rate, &mode.name, mode.codec)).collect();
        for (turn, block) in blocks.iter().enumerate() {
            check.prepare(block, stop)?;
            for place in 0..modes.len() {
                // Each mode is first, second and so on in turn.
                let index = (place + turn) % modes.len();
                let (mode, cell) = (&modes[index], &mut of_load[index]);
                if stop.is_asked() {
                    break;
                }
                observer.measuring(&format!("{}, {load}, {}", scenario.name, mode.name));
                let before = CpuTimes::now();
                let outcomes = fleet.run(job(mode), block);
                cell.add_cpu(before, CpuTimes::now());
                for outcome in &outcomes {
                    cell.take(outcome, scenario, setup.plain().hidden);
                    check.outcome(outcome, load, mode);
                }
            }
        }
        cells.append(&mut of_load);
    }
    Ok(Comparison { cells, mismatches: check.mismatches, clouds: fleet.stop(), partial: stop.is_asked() })
}

/// One short request for each of so many devices, all at once.
pub(crate) fn warm_ups(devices: usize, plan: &Plan, prompts: &Prompts) -> Vec<Request> {
    let mut rng = Rng::stream(plan.seed, WARM_UP_STREAM);
    let (length, max_new_tokens) = (WARM_UP.0, WARM_UP.1.min(plan.max_new_tokens));
    let request = |device| Request {
        index: device,
        arrival: Duration::ZERO,
        device,
        prompt: prompts.one(length.min(plan.scenario.lengths.most), &mut rng),
        max_new_tokens,
    };
    (0..devices).map(request).collect()
}

/// Compares texts with the whole model's, which are computed before anything is measured.
struct Check<'p> {
    plan: &'p Plan,
    setup: &'p Setup,
    texts: BTreeMap<usize, (Arc<[u32]>, Vec<u32>)>,
    mismatches: Vec<Mismatch>,
}

impl Check<'_> {
    fn prepare(&mut self, requests: &[Request], stop: &Stop) -> Result<(), BenchError> {
        if !self.plan.check {
            return Ok(());
        }
        for Request { index, prompt, max_new_tokens, .. } in requests {
            if self.texts.get(index).is_some_and(|(known, _)| known == prompt) {
                continue;
            }
            let Some(text) = reference(self.setup, prompt, *max_new_tokens, stop)? else { break };
            self.texts.insert(*index, (Arc::clone(prompt), text));
        }
        Ok(())
    }

    fn outcome(&mut self, outcome: &Outcome, load: &str, mode: &Mode) {
        let (Ok(report), Some((_, text))) = (&outcome.result, self.texts.get(&outcome.request)) else { return };
        if let Some((at, expected, got)) = difference(text, &report.token_ids) {
            let (mode, load) = (mode.name.clone(), load.to_owned());
            self.mismatches.push(Mismatch { mode, load, request: outcome.request, at, expected, got });
        }
    }
}
