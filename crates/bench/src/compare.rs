//! The comparison: every mode under every load of one scenario, interleaved.

mod check;
mod plan;
mod reference;

use std::time::Duration;

use check::Check;
use reference::reference;

use crate::{
    cell::Cell,
    error::BenchError,
    fleet::{CloudLoad, Fleet, Job, Setup},
    run::{CpuTimes, Observer, Stop},
    workload::{Prompts, Request, Rng, Traffic, blocks},
};

pub use check::Compared;
pub use plan::Plan;
pub use reference::Mismatch;
pub(crate) use reference::difference;

/// Tokens of a warm-up's prompt and text: enough for a device to learn its link and its cloud.
const WARM_UP: (usize, usize) = (128, 16);
/// Use of the seed for warm-ups; the workload has its own.
const WARM_UP_STREAM: u64 = 100;

/// What was measured.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Load by load, in the order of the plan's modes.
    pub cells: Vec<Cell>,
    /// How many texts were compared with the whole model's; none where that was not asked for.
    pub compared: Option<Compared>,
    /// Texts that are not the whole model's.
    pub mismatches: Vec<Mismatch>,
    /// How each cloud kept to its throttle.
    pub clouds: Vec<CloudLoad>,
    /// Blocks of requests a load: how often every mode had its turn.
    pub blocks: usize,
    /// The run was stopped before its end.
    pub partial: bool,
}

/// Runs a plan. One warm-up for every device and mode is not counted.
///
/// # Errors
/// When the plan makes no sense, a cloud or a link does not start, or the reference cannot be
/// computed. A request that fails is counted.
pub fn compare(
    setup: &Setup,
    prompts: &Prompts,
    plan: &Plan,
    observer: &dyn Observer,
    stop: &Stop,
) -> Result<Comparison, BenchError> {
    plan.check()?;
    let Plan { modes, loads, requests, .. } = plan;
    let mut check = plan.check.then(|| Check::of(loads.len() * modes.len() * requests));
    let of_load = |(load, rate): &(String, f64)| {
        modes.iter().map(|mode| Cell::new(load, *rate, &mode.name, mode.codec)).collect()
    };
    let mut cells: Vec<Vec<Cell>> = loads.iter().map(of_load).collect();
    // Clouds take a while to start, and nobody waits for them any more.
    let clouds = if stop.is_asked() {
        Vec::new()
    } else {
        measure(Run { setup, prompts, plan, observer, stop }, &mut cells, check.as_mut())?
    };
    let (compared, mismatches) = check
        .map(Check::finish)
        .map_or((None, Vec::new()), |(compared, found)| (Some(compared), found));
    Ok(Comparison {
        cells: cells.concat(),
        compared,
        mismatches,
        clouds,
        blocks: plan.blocks(),
        partial: stop.is_asked(),
    })
}

/// What a comparison is made of.
#[derive(Clone, Copy)]
struct Run<'r> {
    setup: &'r Setup,
    prompts: &'r Prompts,
    plan: &'r Plan,
    observer: &'r dyn Observer,
    stop: &'r Stop,
}

/// Fills the cells, which are there load by load and mode by mode.
fn measure(
    run: Run<'_>,
    cells: &mut [Vec<Cell>],
    mut check: Option<&mut Check>,
) -> Result<Vec<CloudLoad>, BenchError> {
    let Run { setup, prompts, plan, observer, stop } = run;
    let Plan { scenario, modes, .. } = plan;
    let traffic = |rate| {
        let Plan { requests, max_new_tokens, seed, .. } = *plan;
        Traffic {
            rate,
            requests,
            devices: scenario.devices,
            blocks: plan.blocks(),
            lengths: scenario.lengths,
            max_new_tokens,
            seed,
        }
    };
    observer.planned(modes.len() * (scenario.devices + plan.loads.len() * plan.requests));
    let fleet = Fleet::start(setup, scenario, modes)?;
    let job = |mode| Job { mode, stop, observer };
    for mode in modes {
        observer.measuring(&format!("{}, warming up, {}", scenario.name, mode.name));
        fleet.run(job(mode), &warm_ups(scenario.devices, plan, prompts));
    }
    for ((load, rate), of_load) in plan.loads.iter().zip(cells) {
        let blocks = blocks(&traffic(*rate), prompts);
        for (turn, block) in blocks.iter().enumerate() {
            if let Some(check) = &mut check {
                check.prepare(block, |request| {
                    reference(setup, &request.prompt, request.max_new_tokens, stop)
                })?;
            }
            for index in order(modes.len(), blocks.len(), turn) {
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
                    if let Some(check) = &mut check {
                        check.outcome(outcome, load, &mode.name);
                    }
                }
            }
        }
    }
    Ok(fleet.stop())
}

/// The places of so many modes in the order in which one of so many blocks is run. Each block
/// begins with another mode, as far from the one before as spreads the beginnings over all modes:
/// what drifts steadily hits all much alike.
fn order(modes: usize, blocks: usize, block: usize) -> impl Iterator<Item = usize> {
    let step = (modes / blocks.max(1)).max(1);
    (0..modes).map(move |place| (place + block * step) % modes)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn modes_take_turns_at_every_place() {
        assert_eq!(
            (0..3).map(|block| order(9, 3, block).collect::<Vec<_>>()[0]).collect::<Vec<_>>(),
            [0, 3, 6]
        );
        for (modes, blocks) in [(9, 3), (9, 4), (2, 3), (4, 3), (5, 24), (1, 3)] {
            let places = |mode| {
                (0..blocks).map(move |block| {
                    order(modes, blocks, block).position(|at| at == mode).unwrap()
                })
            };
            for mode in 0..modes {
                let different = places(mode).collect::<BTreeSet<_>>().len();
                assert!(
                    different >= blocks.min(modes).min(2),
                    "{modes} {blocks}: mode {mode} has {different} places"
                );
                let distance = places(mode).max().unwrap() - places(mode).min().unwrap();
                assert!(
                    distance * 2 >= modes - 1,
                    "{modes} {blocks}: mode {mode} stays near its place"
                );
            }
        }
    }
}
