//! Chunks sweep, second part: the bandwidth changes under way.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use tricorn_core::AppendKind;
use tricorn_device::TraceEvent;
use tricorn_netem::{Emulator, LinkConfig};
use tricorn_plot::{Series, lines};

use super::{
    chunks::{DYNAMIC, over_best},
    inputs::Inputs,
};
use crate::{
    cell::Cell,
    compare::{Comparison, Plan, warm_ups},
    error::BenchError,
    figures::ms,
    fleet::{Fleet, Job, Outcome},
    report::{Finding, Picture, Report, Target},
    run::CpuTimes,
    workload::{Request, Rng},
};

/// The link's rates are so many times the scenario's, in turn, for so long each: first the cloud is
/// slower than the link, then the link.
const TIMES: [f64; 2] = [4.0, 0.5];
const PERIOD: Duration = Duration::from_millis(400);
/// Tokens of a prompt, so that it meets both.
const PROMPT: usize = 1200;
/// Prompts a mode, one after the other.
const PROMPTS: usize = 6;
const NEW_TOKENS: usize = 2;
/// Use of the seed for prompts.
const STREAM: u64 = 102;
const LOAD: &str = "changing rate";
/// Dynamic chunks over the best fixed size.
const TARGET: Target = Target::AtMost(1.0);

pub(super) fn run(inputs: Inputs<'_>, plan: &Plan) -> Result<Report, BenchError> {
    let mut plan =
        Plan { requests: PROMPTS, max_new_tokens: NEW_TOKENS, check: false, ..plan.clone() };
    plan.scenario.devices = 1;
    plan.loads = vec![(LOAD.to_owned(), 1.0)];
    let hidden = inputs.setup.plain().hidden;
    let configs = TIMES.map(|times| {
        let mut config = plan.scenario.link_config(0, hidden);
        config.up.bytes_per_s *= times;
        config.down.bytes_per_s *= times;
        config
    });
    // The bound is to be one: no rate was higher than the first.
    let mut fastest = plan.scenario.clone();
    fastest.rates_times *= TIMES[0];
    let mut rng = Rng::stream(plan.seed, STREAM);
    let prompts: Vec<Arc<[u32]>> =
        (0..PROMPTS).map(|_| inputs.prompts.one(PROMPT, &mut rng)).collect();
    inputs.observer.planned(plan.modes.len() * (PROMPTS + 1));
    let fleet = Fleet::start(inputs.setup, &plan.scenario, &plan.modes)?;
    let job = |mode| Job { mode, stop: inputs.stop, observer: inputs.observer };
    plan.modes
        .iter()
        .for_each(|mode| drop(fleet.run(job(mode), &warm_ups(1, &plan, inputs.prompts))));
    let mut cells: Vec<Cell> =
        plan.modes.iter().map(|mode| Cell::new(LOAD, 1.0, &mode.name, mode.codec)).collect();
    let mut picture = None;
    for (index, prompt) in prompts.iter().enumerate() {
        // Every prompt is sent in every mode before the next, so that drift of the machine hits all
        // alike.
        for turn in 0..plan.modes.len() {
            let which = (turn + index) % plan.modes.len();
            let (mode, cell) = (&plan.modes[which], &mut cells[which]);
            if inputs.stop.is_asked() {
                break;
            }
            inputs.observer.measuring(&format!("{LOAD}, {}", mode.name));
            let request = Request {
                index,
                arrival: Duration::ZERO,
                device: 0,
                prompt: Arc::clone(prompt),
                max_new_tokens: NEW_TOKENS,
            };
            let before = CpuTimes::now();
            let requests = [request];
            let ready = fleet.open(job(mode), &requests);
            // The first rate holds from the prompt's start: the handshake is over.
            let outcomes = thread::scope(|scope| {
                let (done, is_done) = channel();
                if let Some(link) = fleet.link(mode.schedule, 0) {
                    let configs = &configs;
                    scope.spawn(move || switch(link, configs, &is_done));
                }
                let outcomes = ready.run();
                drop(done);
                outcomes
            });
            cell.add_cpu(before, CpuTimes::now());
            outcomes.iter().for_each(|outcome| cell.take(outcome, &fastest, hidden));
            if mode.name == DYNAMIC {
                picture = Some(chunks_over_time(&outcomes));
            }
        }
    }
    let comparison = Comparison {
        cells,
        compared: None,
        mismatches: Vec::new(),
        clouds: fleet.stop(),
        blocks: PROMPTS,
        partial: inputs.stop.is_asked(),
    };
    let what =
        "TTFT of dynamic chunks over the best fixed size while the link's rate changes".to_owned();
    let finding = Finding { what, measured: over_best(&comparison, LOAD), target: TARGET };
    let mut report = Report::new(&plan, comparison, vec![finding]);
    report.settings.link +=
        &format!(", its rates {} x and {} x that in turn, for {PERIOD:?} each", TIMES[0], TIMES[1]);
    Ok(match picture {
        Some(picture) => report.with(picture),
        None => report,
    })
}

/// Gives the link one configuration after the other, from the first on, until the prompt is done.
fn switch(link: &Emulator, configs: &[LinkConfig], done: &Receiver<()>) {
    for config in configs.iter().cycle() {
        // These are links: the scenario's own is checked when it starts, and these have some
        // times its rates.
        let _ = link.set_config(config.clone());
        if done.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout) {
            break;
        }
    }
}

/// The sizes of a prompt's chunks by when they were sent, beside the link's rate.
fn chunks_over_time(outcomes: &[Outcome]) -> Picture {
    let mut rows = Vec::new();
    let mut start = 0.0;
    for outcome in outcomes {
        let Ok(report) = &outcome.result else { continue };
        start = f64::max(start, ms(outcome.waited));
        let sent = report.trace.iter().filter_map(|event| match *event {
            TraceEvent::Sent { rows, kind: AppendKind::Prompt, at, .. } => {
                Some((start + ms(at), rows as f64))
            }
            _ => None,
        });
        rows.extend(sent);
    }
    let end = rows.last().map_or(0.0, |point| point.0);
    // A chunk's size holds until the next one is sent.
    let until_next = rows
        .windows(2)
        .flat_map(|pair| [pair[0], (pair[1].0, pair[0].1)])
        .chain(rows.last().copied());
    let period = ms(PERIOD);
    let switches = (0..=(end / period) as usize).flat_map(|turn| {
        let percent = 100.0 * TIMES[turn % TIMES.len()];
        [(turn as f64 * period, percent), (((turn + 1) as f64 * period).min(end), percent)]
    });
    let title = "Chunks while the link's rate changes";
    let curves = [
        Series { name: "link rate, %".to_owned(), points: switches.collect() },
        Series { name: "rows in a chunk".to_owned(), points: until_next.collect() },
    ];
    let svg = lines(title, "dynamic chunks of one prompt", ("ms", "rows; %"), &curves);
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
