//! Interference sweep: a long prompt beside texts that others are writing.

use std::time::Duration;

use tricorn_device::{TraceEvent, TurnReport};

use super::inputs::Inputs;
use crate::{
    cell::Cell,
    compare::{Comparison, Plan, warm_ups},
    error::BenchError,
    figures::{ms, quantile, sorted},
    fleet::{Fleet, Job, Outcome},
    mode::Mode,
    report::{Finding, Report, Target},
    run::CpuTimes,
    workload::{Request, Rng},
};

/// Devices that write; one more brings the prompt.
const WRITERS: usize = 9;
/// Tokens of their prompts, and of their texts: long enough to be still writing when the long
/// prompt is done.
const WRITER: (usize, usize) = (48, 400);
/// Tokens of the prompt that comes among them, or as many as fit.
const LONG: usize = 2000;
/// And of its text.
const LONG_NEW: usize = 4;
/// When it comes: all write by then.
const ARRIVAL: Duration = Duration::from_secs(4);
/// Use of the seed for prompts.
const STREAM: u64 = 101;
/// The 99th percentile of the time between tokens while the cloud holds the prompt, over that
/// before: at most so much.
const TARGET: Target = Target::AtMost(1.5);

pub(super) fn modes() -> Result<Vec<Mode>, BenchError> {
    ["u-shape", "u-sarathi", "hat"].into_iter().map(Mode::named).collect()
}

pub(super) fn run(inputs: Inputs<'_>, plan: &Plan) -> Result<Report, BenchError> {
    let mut plan =
        Plan { requests: WRITERS + 1, max_new_tokens: WRITER.1, check: false, ..plan.clone() };
    plan.scenario.devices = WRITERS + 1;
    plan.loads = vec![("one long prompt".to_owned(), 1.0)];
    plan.check()?;
    let requests = requests(&plan, inputs);
    inputs.observer.planned(plan.modes.len() * 2 * requests.len());
    let fleet = Fleet::start(inputs.setup, &plan.scenario, &plan.modes)?;
    let mut cells = Vec::new();
    let mut findings = Vec::new();
    for mode in &plan.modes {
        if inputs.stop.is_asked() {
            break;
        }
        let job = Job { mode, stop: inputs.stop, observer: inputs.observer };
        inputs.observer.measuring(&format!("interference, {}", mode.name));
        fleet.run(job, &warm_ups(plan.scenario.devices, &plan, inputs.prompts));
        let before = CpuTimes::now();
        let outcomes = fleet.run(job, &requests);
        let mut cell = Cell::new("one long prompt", 1.0, &mode.name, mode.codec);
        cell.add_cpu(before, CpuTimes::now());
        outcomes
            .iter()
            .for_each(|outcome| cell.take(outcome, &plan.scenario, inputs.setup.plain().hidden));
        let what = format!(
            "99th percentile of TBT while the cloud holds a prompt of {} tokens over before, {}",
            requests[WRITERS].prompt.len(),
            mode.name
        );
        findings.push(Finding { what, measured: slowdown(&outcomes), target: TARGET });
        cells.push(cell);
    }
    let comparison = Comparison {
        cells,
        compared: None,
        mismatches: Vec::new(),
        clouds: fleet.stop(),
        blocks: 1,
        partial: inputs.stop.is_asked(),
    };
    Ok(Report::new(&plan, comparison, findings))
}

fn requests(plan: &Plan, inputs: Inputs<'_>) -> Vec<Request> {
    let mut rng = Rng::stream(plan.seed, STREAM);
    let mut request = |device, (length, max_new_tokens), arrival| {
        let prompt = inputs.prompts.one(length, &mut rng);
        Request { index: device, arrival, device, prompt, max_new_tokens }
    };
    let mut requests: Vec<Request> =
        (0..WRITERS).map(|device| request(device, WRITER, Duration::ZERO)).collect();
    requests.push(request(WRITERS, (LONG, LONG_NEW), ARRIVAL));
    requests
}

/// The writers' 99th percentile of gaps that fall into the time in which the cloud holds rows of
/// the long prompt, over that of gaps that end before it comes. A whole prompt is there for a short
/// time and stops everybody; chunks are there for as long as they are sent.
fn slowdown(outcomes: &[Outcome]) -> Option<f64> {
    let long = outcomes.iter().find(|outcome| outcome.request == WRITERS)?;
    let came = ms(ARRIVAL + long.waited);
    let (from, to) = in_the_cloud(long.result.as_ref().ok()?)?;
    let (from, to) = (came + from, came + to);
    let (mut before, mut during) = (Vec::new(), Vec::new());
    for outcome in outcomes.iter().filter(|outcome| outcome.request != WRITERS) {
        let Ok(report) = &outcome.result else { continue };
        let mut start = ms(outcome.waited + report.ttft);
        for gap in report.gaps.iter().map(|&gap| ms(gap)) {
            let end = start + gap;
            if end < came {
                before.push(gap);
            } else if start < to && end > from {
                during.push(gap);
            }
            start = end;
        }
    }
    let p99 = |gaps| quantile(&sorted(gaps), 0.99);
    Some(p99(during)? / p99(before)?)
}

/// From when to when the cloud held rows of a prompt that it had not answered, in milliseconds of
/// its turn.
fn in_the_cloud(report: &TurnReport) -> Option<(f64, f64)> {
    let answers = report.trace.iter().filter_map(|event| match *event {
        TraceEvent::Answered { at, timing, .. } if at <= report.ttft => {
            Some((ms(at.saturating_sub(timing.queue + timing.compute)), ms(at)))
        }
        _ => None,
    });
    answers.reduce(|(from, to), (start, end)| (from.min(start), to.max(end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::tests::outcome;
    use tricorn_core::AnswerTiming;

    #[test]
    fn gaps_before_and_during_the_prompt_are_told_apart() {
        // Writers have a token each 40 ms from 105 ms on. The cloud holds the prompt from 4.5 s to
        // 5 s: four gaps of 120 ms. Later ones do not count.
        let gaps: Vec<u64> = [vec![40; 110], vec![120; 4], vec![400; 5]].concat();
        let mut outcomes: Vec<Outcome> =
            (0..2).map(|request| outcome(request, 100, &gaps)).collect();
        assert_eq!(slowdown(&outcomes), None, "no long prompt");
        let mut long = outcome(WRITERS, 1000, &[]);
        long.waited = Duration::ZERO;
        if let Ok(report) = &mut long.result {
            let timing = AnswerTiming {
                queue: Duration::from_millis(100),
                compute: Duration::from_millis(380),
                ..AnswerTiming::default()
            };
            report.trace = vec![TraceEvent::Answered {
                pos: 0,
                rows: 1,
                bytes: 0,
                at: Duration::from_millis(980),
                timing,
            }];
        }
        outcomes.push(long);
        assert_eq!(slowdown(&outcomes), Some(3.0));
    }
}
