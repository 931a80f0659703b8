//! Chunks while the bandwidth changes under way.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use tricorn_core::AppendKind;
use tricorn_device::TraceEvent;

use super::{
    Finding, Run,
    chunks::{DYNAMIC, TARGET, over_best},
};
use crate::{
    BenchError, Cell, Comparison, Plan, Report,
    compare::warm_ups,
    cpu::CpuTimes,
    fleet::{Fleet, Job, Outcome},
    link::{Emulator, Shape},
    plot::{Line, lines},
    report::Picture,
    rng::Rng,
    units::ms,
    workload::Request,
};

/// The link's rates are the scenario's and a quarter of them, in turn, for so long each.
const PERIOD: Duration = Duration::from_millis(700);
const SLOW: f64 = 0.25;
/// Tokens of a prompt, so that it meets both.
const PROMPT: usize = 1200;
/// Prompts a mode, one after the other.
const PROMPTS: usize = 4;
const NEW_TOKENS: usize = 2;
/// Use of the seed for prompts.
const STREAM: u64 = 102;
const LOAD: &str = "changing rate";

pub(super) fn run(run: Run<'_>, plan: &Plan) -> Result<Report, BenchError> {
    let mut plan = Plan { requests: PROMPTS, max_new_tokens: NEW_TOKENS, check: false, ..plan.clone() };
    plan.scenario.devices = 1;
    plan.loads = vec![(LOAD.to_owned(), 1.0)];
    let hidden = run.setup.plain().hidden;
    let fast = plan.scenario.shape(0, hidden);
    let mut rng = Rng::stream(plan.seed, STREAM);
    let request = |index| Request {
        index,
        arrival: Duration::ZERO,
        device: 0,
        prompt: run.prompts.one(PROMPT, &mut rng),
        max_new_tokens: NEW_TOKENS,
    };
    let requests: Vec<Request> = (0..PROMPTS).map(request).collect();
    run.observer.planned(plan.modes.len() * (PROMPTS + 1));
    let fleet = Fleet::start(run.setup, &plan.scenario, &plan.modes)?;
    let mut cells = Vec::new();
    let mut picture = None;
    for mode in &plan.modes {
        if run.stop.is_asked() {
            break;
        }
        run.observer.measuring(&format!("{LOAD}, {}", mode.name));
        let job = Job { mode, stop: run.stop, observer: run.observer };
        fleet.run(job, &warm_ups(1, &plan, run.prompts));
        let before = CpuTimes::now();
        let outcomes = thread::scope(|scope| {
            let (done, is_done) = channel();
            if let Some(link) = fleet.link(mode.schedule, 0) {
                let fast = &fast;
                scope.spawn(move || switch(link, fast, &is_done));
            }
            let outcomes = fleet.run(job, &requests);
            drop(done);
            outcomes
        });
        let mut cell = Cell::new(LOAD, 1.0, &mode.name);
        cell.add_cpu(before, CpuTimes::now());
        outcomes.iter().for_each(|outcome| cell.take(outcome, &plan.scenario, hidden));
        cells.push(cell);
        if mode.name == DYNAMIC {
            picture = Some(chunks_over_time(&outcomes));
        }
    }
    let comparison = Comparison { cells, mismatches: Vec::new(), clouds: fleet.stop(), partial: run.stop.is_asked() };
    let what = "TTFT of dynamic chunks over the best fixed size while the link's rate changes".to_owned();
    let finding = Finding { what, measured: over_best(&comparison, LOAD), target: TARGET };
    let report = Report::new(&plan, comparison, vec![finding]);
    Ok(match picture {
        Some(picture) => report.with(picture),
        None => report,
    })
}

/// Changes the link's rate until the block is done, and leaves it fast.
fn switch(link: &Emulator, fast: &Shape, done: &Receiver<()>) {
    let mut slow = fast.clone();
    slow.up.bytes_per_s *= SLOW;
    slow.down.bytes_per_s *= SLOW;
    for shape in [&slow, fast].into_iter().cycle() {
        if done.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        // Both shapes are links: one was checked when it started, the other has a quarter of its rates.
        let _ = link.set_shape(shape.clone());
    }
    let _ = link.set_shape(fast.clone());
}

/// The sizes of all prompts' chunks by when they were sent, beside the link's rate.
fn chunks_over_time(outcomes: &[Outcome]) -> Picture {
    let mut rows = Vec::new();
    let mut start = 0.0;
    for outcome in outcomes {
        let Ok(report) = &outcome.result else { continue };
        start = f64::max(start, ms(outcome.waited));
        let sent = report.trace.iter().filter_map(|event| match *event {
            TraceEvent::Sent { rows, kind: AppendKind::Prompt, at, .. } => Some((start + ms(at), rows as f64)),
            _ => None,
        });
        rows.extend(sent);
    }
    let end = rows.last().map_or(0.0, |point| point.0);
    // A chunk's size holds until the next one is sent.
    let until_next = rows.windows(2).flat_map(|pair| [pair[0], (pair[1].0, pair[0].1)]).chain(rows.last().copied());
    let period = ms(PERIOD);
    let switches = (0..=(end / period) as usize).flat_map(|turn| {
        let percent = if turn % 2 == 0 { 100.0 } else { 100.0 * SLOW };
        [(turn as f64 * period, percent), (((turn + 1) as f64 * period).min(end), percent)]
    });
    let title = "Chunks while the link's rate changes";
    let curves = [
        Line { name: "link rate, %".to_owned(), points: switches.collect() },
        Line { name: "rows in a chunk".to_owned(), points: until_next.collect() },
    ];
    let svg = lines(title, "dynamic chunks; prompts of one device, one after the other", ("ms", "rows; %"), &curves);
    Picture { title: title.to_owned(), file: "chunks-over-time.svg".to_owned(), svg }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_sent_is_an_empty_picture() {
        let picture = chunks_over_time(&[]);
        assert!(picture.svg.contains("rows in a chunk") && !picture.svg.contains("NaN"));
    }
}
