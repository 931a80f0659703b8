//! Stages sweep: a middle in two processes against one.

use std::time::{Duration, Instant};

use tricorn_core::HiddenCodec;

use super::inputs::Inputs;
use crate::{
    cell::Cell,
    compare::{Comparison, Mismatch, Plan, difference, warm_ups},
    error::BenchError,
    fleet::{Fleet, Job, Outcome},
    mode::Mode,
    report::{Finding, Report, Target},
    run::CpuTimes,
    workload::{PromptLengths, Request, Rng},
};

/// Sessions at a time, each on its own device.
const SESSIONS: usize = 8;
const PROMPTS: PromptLengths = PromptLengths { scale: 0.25, most: 256 };
/// Times that both are measured, in turn.
const TIMES: usize = 3;
/// Use of the seed for prompts.
const STREAM: u64 = 103;
const NAMES: [&str; 2] = ["one stage", "two stages"];
/// Tokens a second of two stages over one: no worse, though rows cross a connection in between.
const TARGET: Target = Target::AtLeast(1.0);

pub(super) fn modes() -> Result<Vec<Mode>, BenchError> {
    Ok(vec![Mode::named("hat")?])
}

pub(super) fn run(inputs: Inputs<'_>, plan: &Plan) -> Result<Report, BenchError> {
    let mut plan = Plan { requests: SESSIONS * TIMES, check: false, ..plan.clone() };
    plan.scenario.devices = SESSIONS;
    plan.loads = vec![("eight sessions".to_owned(), 1.0)];
    let (load, rate) = (plan.loads[0].0.clone(), plan.loads[0].1);
    let middle = inputs.setup.layers.clone();
    let (context, throttle) =
        (inputs.setup.plain().context, plan.scenario.throttle.map(|throttle| throttle.cloud));
    let cut = middle.start + middle.len() / 2;
    if cut == middle.start {
        let instead = "a model whose middle has two layers or more".to_owned();
        return Err(BenchError::Setting {
            what: "the number of middle layers",
            value: middle.len().to_string(),
            instead,
        });
    }
    let fleets = [
        Fleet::start(inputs.setup, &plan.scenario, &plan.modes)?,
        Fleet::with(inputs.setup, &plan.scenario, &plan.modes, |schedule| {
            inputs.setup.cloud.start_two(schedule, context, throttle, &middle, cut)
        })?,
    ];
    let requests = requests(&plan, inputs);
    inputs.observer.planned(NAMES.len() * SESSIONS * (TIMES + 1));
    let mut cells = NAMES.map(|name| Cell::new(&load, rate, name, HiddenCodec::F16));
    let mut throughputs = NAMES.map(|_| Throughput::default());
    let (mut compared, mut mismatches) = (0, Vec::new());
    for mode in &plan.modes {
        let job = Job { mode, stop: inputs.stop, observer: inputs.observer };
        fleets
            .iter()
            .for_each(|fleet| drop(fleet.run(job, &warm_ups(SESSIONS, &plan, inputs.prompts))));
        for round in 0..TIMES {
            if inputs.stop.is_asked() {
                break;
            }
            let mut texts: [Vec<Outcome>; 2] = Default::default();
            for place in 0..fleets.len() {
                // Each side is first in turn, so that drift of the machine hits both alike.
                let index = (place + round) % fleets.len();
                inputs.observer.measuring(&format!(
                    "stages, {}, {} of {TIMES}",
                    NAMES[index],
                    round + 1
                ));
                let ready = fleets[index].open(job, &requests);
                let (before, started) = (CpuTimes::now(), Instant::now());
                let outcomes = ready.run();
                throughputs[index].add(&outcomes, started.elapsed());
                cells[index].add_cpu(before, CpuTimes::now());
                outcomes.iter().for_each(|outcome| {
                    cells[index].take(outcome, &plan.scenario, inputs.setup.plain().hidden)
                });
                texts[index] = outcomes;
            }
            let pairs = pairs(&texts);
            compared += pairs.len();
            mismatches.extend(differing(&pairs, &load));
        }
    }
    let [one, two] = throughputs.map(Throughput::per_second);
    let measured = one.zip(two).map(|(one, two)| two / one);
    let what = format!("tokens a second of two stages over one, {SESSIONS} sessions");
    let [first, second] = fleets;
    let clouds = [first.stop(), second.stop()].concat();
    let texts = "texts of two stages that are not those of one".to_owned();
    let findings = vec![
        Finding { what, measured, target: TARGET },
        Finding {
            what: texts,
            measured: (compared > 0).then_some(mismatches.len() as f64),
            target: Target::AtMost(0.0),
        },
    ];
    let comparison = Comparison {
        cells: cells.to_vec(),
        compared: None,
        mismatches,
        clouds,
        blocks: TIMES,
        partial: inputs.stop.is_asked(),
    };
    Ok(Report::new(&plan, comparison, findings))
}

fn requests(plan: &Plan, inputs: Inputs<'_>) -> Vec<Request> {
    let prompts = inputs.prompts.pick(SESSIONS, PROMPTS, &mut Rng::stream(plan.seed, STREAM));
    let request = |(index, prompt)| Request {
        index,
        arrival: Duration::ZERO,
        device: index,
        prompt,
        max_new_tokens: plan.max_new_tokens,
    };
    prompts.into_iter().enumerate().map(request).collect()
}

/// A request's number and its texts by both fleets.
type Pair<'o> = (usize, [&'o [u32]; 2]);

/// The texts that both fleets finished.
fn pairs<'o>([one, two]: &'o [Vec<Outcome>; 2]) -> Vec<Pair<'o>> {
    let pair = |(one, two): (&'o Outcome, &'o Outcome)| -> Option<Pair<'o>> {
        Some((
            one.request,
            [&one.result.as_ref().ok()?.token_ids, &two.result.as_ref().ok()?.token_ids],
        ))
    };
    let second = |one: &'o Outcome| Some((one, two.iter().find(|two| two.request == one.request)?));
    one.iter().filter_map(second).filter_map(pair).collect()
}

/// Texts of the second fleet that are not those of the first.
fn differing(pairs: &[Pair<'_>], load: &str) -> Vec<Mismatch> {
    let differs = |&(request, [one, two]): &Pair<'_>| {
        let (at, expected, got) = difference(one, two)?;
        Some(Mismatch {
            mode: NAMES[1].to_owned(),
            load: load.to_owned(),
            request,
            at,
            expected,
            got,
        })
    };
    pairs.iter().filter_map(differs).collect()
}

/// Tokens over time.
#[derive(Clone, Copy, Debug, Default)]
struct Throughput {
    tokens: usize,
    time: Duration,
}

impl Throughput {
    fn add(&mut self, outcomes: &[Outcome], time: Duration) {
        self.tokens += outcomes
            .iter()
            .filter_map(|outcome| outcome.result.as_ref().ok())
            .map(|report| report.token_ids.len())
            .sum::<usize>();
        self.time += time;
    }

    fn per_second(self) -> Option<f64> {
        (self.tokens > 0 && !self.time.is_zero())
            .then(|| self.tokens as f64 / self.time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cell::tests::outcome, fleet::Failure};

    #[test]
    fn throughput_is_tokens_over_time() {
        let mut speed = Throughput::default();
        assert_eq!(speed.per_second(), None);
        speed.add(&[outcome(0, 10, &[1, 1, 1]), outcome(1, 10, &[1])], Duration::from_secs(2));
        assert_eq!(speed.per_second(), Some(3.0));
    }

    #[test]
    fn a_text_that_differs_is_named() {
        let texts = |gaps: &[u64]| vec![outcome(0, 10, &[1]), outcome(1, 10, gaps)];
        assert!(differing(&pairs(&[texts(&[1, 1]), texts(&[1, 1])]), "x").is_empty());
        let found = differing(&pairs(&[texts(&[1, 1]), texts(&[1])]), "x");
        assert_eq!(
            (found[0].request, found[0].at, found[0].expected, found[0].got),
            (1, 2, Some(0), None)
        );
    }

    #[test]
    fn only_what_both_finished_is_compared() {
        let both = [vec![outcome(0, 10, &[1]), outcome(1, 10, &[1])], vec![outcome(1, 10, &[1])]];
        assert_eq!(pairs(&both).iter().map(|(request, _)| *request).collect::<Vec<_>>(), [1]);
        let failed = Outcome { result: Err(Failure::Late), ..outcome(0, 10, &[]) };
        assert!(pairs(&[vec![outcome(0, 10, &[1])], vec![failed]]).is_empty());
    }
}
