//! `tricorn bench`

mod engine;
mod out;
mod perplexity;
mod view;

use super::{print_json, resolve, use_threads};
use crate::{
    args::{Bench, BenchArgs, HatArgs},
    bundled,
    error::CliError,
    ui,
};
use serde_json::json;
use std::path::Path;
use tricorn_bench::{
    CloudProgram, Load, Mode, Plan, Prompts, Report, Scenario, Setup, Stop, Sweep, compare, sweep,
};
use tricorn_device::Prompter;
use view::View;

/// The scenario that tests that all modes work: texts are always compared, and one load is enough.
const QUICK: &str = "quick";

pub(crate) fn run(args: &BenchArgs) -> Result<(), CliError> {
    match &args.what {
        Bench::Hat(args) => hat(args),
        Bench::Engine(args) => engine::run(args),
        Bench::Perplexity(args) => perplexity::run(args),
    }
}

fn hat(args: &HatArgs) -> Result<(), CliError> {
    // Before anything that takes time: Ctrl-C then ends the run with what there is.
    let stop = Stop::default();
    let on_signal = stop.clone();
    ctrlc::set_handler(move || on_signal.ask())?;
    let plan = plan(args)?;
    plan.check()?;
    use_threads(args.threads)?;
    let source = bundled::open(&args.model)?;
    let split = resolve(&source, args.split)?;
    let modes = match args.sweep {
        Some(sweep) => sweep.modes()?,
        None if args.modes.is_empty() => Setup::available(&source, plan.modes.clone()),
        None => plan.modes.clone(),
    };
    let cloud = CloudProgram {
        program: std::env::current_exe().map_err(CliError::Start)?,
        model: args.model.clone().into_os_string(),
        split,
        threads: args.threads,
        kv: args.kv,
    };
    let prompter = Prompter::load(&source)?;
    let context = source.config().context;
    let prompts = match &args.prompts {
        Some(file) => Prompts::from_file(file, &prompter, context, plan.max_new_tokens)?,
        None => Prompts::stories(&prompter, context, plan.max_new_tokens)?,
    };
    out::prepare(args.out.as_deref())?;
    let setup = Setup::load(&source, split, &modes, cloud)?;
    let plan = Plan { modes, ..plan };
    let view = View::new(args.json, "requests");
    let reports = match args.sweep {
        Some(kind) => sweep(kind, &setup, &prompts, &plan, &view, &stop),
        None => compare(&setup, &prompts, &plan, &view, &stop)
            .map(|comparison| vec![Report::new(&plan, comparison, Vec::new())]),
    };
    view.finish();
    show(&reports?, args, stop.is_asked())
}

/// What the flags ask for.
fn plan(args: &HatArgs) -> Result<Plan, CliError> {
    let mut scenario = Scenario::named(&args.scenario)?;
    scenario.devices = args.devices.unwrap_or(scenario.devices);
    let quick = scenario.name == QUICK;
    let loads = match (args.rate, args.load.as_slice()) {
        (Some(rate), _) => vec![("own".to_owned(), rate)],
        (None, []) if quick => vec![scenario.load(Load::Middle)],
        (None, []) => Load::ALL.map(|load| scenario.load(load)).to_vec(),
        (None, loads) => loads.iter().map(|&load| scenario.load(load)).collect(),
    };
    let names = if args.modes.is_empty() {
        Mode::NAMES.map(str::to_owned).to_vec()
    } else {
        args.modes.clone()
    };
    Ok(Plan {
        loads,
        modes: names.iter().map(|name| Mode::named(name.trim())).collect::<Result<_, _>>()?,
        requests: args.requests.unwrap_or(if args.sweep.is_some() {
            Sweep::REQUESTS
        } else {
            scenario.requests
        }),
        max_new_tokens: args.max_new.unwrap_or(scenario.max_new_tokens),
        seed: args.seed,
        check: args.check || quick,
        scenario,
    })
}

/// Prints and writes the reports; then says what went wrong, if anything did. Neither a reader that
/// is gone nor a disk that is full takes the other's report away.
fn show(reports: &[Report], args: &HatArgs, stopped: bool) -> Result<(), CliError> {
    let printed = match args.json {
        true => print_json(&json!({ "bench": "hat", "reports": reports, "partial": stopped })),
        false => ui::print(reports.iter().map(|report| report.text() + "\n").collect::<String>())
            .map_err(CliError::from),
    };
    if let Some(out) = &args.out {
        for (index, report) in reports.iter().enumerate() {
            report.write(&folder(out, reports.len(), index))?;
        }
        if !args.json && printed.is_ok() {
            ui::print(format!("report and pictures are in {}\n", out.display()))?;
        }
    }
    verdict(reports, stopped).and(printed)
}

/// What went wrong, if anything did: a wrong text is worse than a stop, and a stop explains what is
/// missing.
fn verdict(reports: &[Report], stopped: bool) -> Result<(), CliError> {
    if let Some(mismatch) = reports.iter().find_map(|report| report.mismatches.first()) {
        return Err(CliError::OtherText(mismatch.to_string()));
    }
    if stopped {
        return Err(CliError::Interrupted);
    }
    let failed: usize = reports.iter().flat_map(|report| &report.rows).map(|row| row.failed).sum();
    let not_compared: usize = reports.iter().map(Report::not_compared).sum();
    match (failed, not_compared) {
        (0, 0) => Ok(()),
        (0, texts) => Err(CliError::NotCompared(texts)),
        (failed, _) => Err(CliError::RequestsFailed(failed)),
    }
}

/// A folder for each report where there are several.
fn folder(out: &Path, reports: usize, index: usize) -> std::path::PathBuf {
    if reports > 1 { out.join((index + 1).to_string()) } else { out.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tricorn_bench::{Compared, Comparison, Mismatch};

    /// The report of a run that compared so many of four texts.
    fn report(done: usize, mismatches: Vec<Mismatch>) -> Report {
        let scenario = Scenario::named(QUICK).unwrap();
        let plan = Plan {
            loads: vec![scenario.load(Load::Middle)],
            scenario,
            modes: Vec::new(),
            requests: 4,
            max_new_tokens: 1,
            seed: 1,
            check: true,
        };
        let compared = Some(Compared { planned: 4, done });
        Report::new(
            &plan,
            Comparison {
                cells: Vec::new(),
                compared,
                mismatches,
                clouds: Vec::new(),
                blocks: 3,
                partial: false,
            },
            Vec::new(),
        )
    }

    #[test]
    fn a_text_that_is_not_the_references_ends_with_1_whatever_else_happened() {
        let mismatch = Mismatch {
            mode: "hat".into(),
            load: "mid".into(),
            request: 3,
            at: 7,
            expected: Some(5),
            got: Some(6),
        };
        let reports = [report(4, Vec::new()), report(4, vec![mismatch])];
        for stopped in [false, true] {
            let error = verdict(&reports, stopped).unwrap_err();
            assert!(
                matches!(
                    &error,
                    CliError::OtherText(said)
                        if said.contains("request 3, token 7: 6 in place of 5")
                ),
                "{error}"
            );
            assert_eq!(
                format!("{:?}", error.exit_code()),
                format!("{:?}", std::process::ExitCode::from(1))
            );
        }
    }

    #[test]
    fn every_text_is_to_be_compared_unless_the_run_was_stopped() {
        assert!(verdict(&[report(4, Vec::new())], false).is_ok());
        assert!(matches!(verdict(&[report(3, Vec::new())], false), Err(CliError::NotCompared(1))));
        assert!(matches!(verdict(&[report(3, Vec::new())], true), Err(CliError::Interrupted)));
    }
}
