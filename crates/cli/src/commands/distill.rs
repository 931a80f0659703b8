//! `tricorn distill`

use super::{open, print_json};
use crate::{args::DistillArgs, error::CliError, ui};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tricorn_model::{Drafter, DrafterKind};
use tricorn_train::{
    Budget, DistillConfig, Event, HeldOutConfig, HeldOutReport, StepReport, distill, measure,
};

/// Minutes of training where no budget is given.
const DEFAULT_MINUTES: f64 = 30.0;
/// As after SIGINT.
const INTERRUPTED: i32 = 130;

pub(crate) fn run(args: &DistillArgs) -> Result<(), CliError> {
    let (source, split) = open(&args.model)?;
    let stop = Arc::new(AtomicBool::new(false));
    let on_signal = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        // Whoever asks twice wants no checkpoint.
        if on_signal.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
    })?;
    let held_out = HeldOutConfig {
        prompts: args.eval_prompts,
        new_tokens: args.eval_tokens,
        max_draft: args.max_draft,
        draft_cost: args.draft_cost,
    };
    // clap lets the two be absent only together with --measure.
    let (Some(data), Some(out)) = (&args.data, &args.out) else {
        let drafter = Drafter::load(&source, split, args.kind)?.ok_or(CliError::NoDrafter)?;
        let report = measure(&source, &drafter, split, &args.valid, &held_out, &stop)?;
        return if args.json { print_json(&report) } else { Ok(ui::print(curve(&report))?) };
    };
    let unlimited = args.minutes.is_none() && args.tokens.is_none() && args.steps.is_none();
    let defaults = DistillConfig::new(data.clone(), args.valid.clone(), out.clone());
    let config = DistillConfig {
        kind: args.kind.unwrap_or(DrafterKind::Hat),
        unroll: args.unroll,
        split,
        budget: Budget {
            steps: args.steps,
            tokens: args.tokens,
            minutes: args.minutes.or(unlimited.then_some(DEFAULT_MINUTES)),
        },
        batch_tokens: args.batch_tokens,
        context: args.context.unwrap_or(defaults.context.min(source.config().context)),
        earlier_tokens: args.earlier_tokens,
        from: args.from.clone(),
        learning_rate: args.learning_rate,
        ce_weight: args.ce_weight,
        seed: args.seed,
        own_text: args.own_text,
        lesson_memory: args.lesson_memory.saturating_mul(1 << 20),
        eval_every: args.eval_every,
        held_out,
        stop_when_flat: args.stop_when_flat,
        resume: args.resume,
        ..defaults
    };
    let mut view = View::new(args.json);
    let outcome = distill(&source, &config, &stop, &mut |event| view.show(event));
    view.bar.finish_and_clear();
    let outcome = outcome?;
    if args.json {
        return print_json(&json!({
            "event": "end",
            "reason": format!("{:?}", outcome.end).to_lowercase(),
            "steps": outcome.steps,
            "tokens": outcome.tokens,
            "out": out,
            "report": outcome.report,
        }));
    }
    match outcome.report {
        Some(report) => ui::print(curve(&report))?,
        None => ui::print(format!(
            "stopped after {} tokens; go on with the same command and --resume\n",
            outcome.tokens
        ))?,
    }
    Ok(ui::print(format!("drafter, history and plot are in {}\n", out.display()))?)
}

/// A progress bar for people, lines of JSON for programs.
struct View {
    json: bool,
    bar: ProgressBar,
}

impl View {
    fn new(json: bool) -> Self {
        let bar = if json { ProgressBar::hidden() } else { ProgressBar::new(1000) };
        // The template is a constant that the crate's own tests accept; the default style is a fair
        // second.
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_message("reading texts and writing the held-out continuations");
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { json, bar }
    }

    fn show(&mut self, event: &Event<'_>) {
        if self.json {
            // A closed pipe must not end hours of training.
            drop(print_json(&as_json(event)));
            return;
        }
        match event {
            Event::Loaded { examples, held_out } => self.bar.println(format!(
                "{examples} texts to learn from, {held_out} prompts to measure with"
            )),
            Event::Resumed { step, tokens } => {
                self.bar.println(format!("resumed at step {step}, {tokens} tokens"))
            }
            Event::Step(step) => {
                self.bar.set_position((step.progress * 1000.0) as u64);
                self.bar.set_message(progress(step));
            }
            Event::Evaluated(point) => self.bar.println(format!(
                "{:>10} tokens: {:.3} tokens a round held out{}",
                point.tokens,
                point.tokens_per_round,
                point.loss.map_or_else(String::new, |loss| format!(", loss {loss:.4}"))
            )),
            _ => {}
        }
    }
}

fn progress(step: &StepReport) -> String {
    let left = step.left.map_or_else(String::new, |left| format!(", {} left", HumanDuration(left)));
    format!(
        "loss {:.4}, {} tokens at {:.0} a second{left}",
        step.loss, step.tokens, step.tokens_per_s
    )
}

fn as_json(event: &Event<'_>) -> serde_json::Value {
    match event {
        Event::Loaded { examples, held_out } => {
            json!({"event": "loaded", "examples": examples, "held_out": held_out})
        }
        Event::Resumed { step, tokens } => {
            json!({"event": "resumed", "step": step, "tokens": tokens})
        }
        Event::Step(step) => json!({
            "event": "step",
            "step": step.step,
            "tokens": step.tokens,
            "tokens_per_s": step.tokens_per_s,
            "loss": step.loss,
            "smooth_l1": step.smooth_l1,
            "cross_entropy": step.cross_entropy,
            "learning_rate": step.learning_rate,
            "progress": step.progress,
            "seconds_left": step.left.map(|left| left.as_secs_f64()),
            "skipped": step.skipped,
        }),
        Event::Evaluated(point) => json!({"event": "evaluated", "point": point}),
        Event::Saved(path) => json!({"event": "saved", "path": path}),
        Event::Finished(report) => json!({"event": "finished", "report": report}),
        other => json!({"event": "other", "text": format!("{other:?}")}),
    }
}

/// The thresholds, one line each, the best marked.
fn curve(report: &HeldOutReport) -> String {
    let rows: Vec<(String, String)> = report
        .curve
        .iter()
        .map(|point| {
            let mark = if point.threshold == report.best.threshold { "  <- best" } else { "" };
            let figures = format!(
                "{:.3} tokens a round, {:.2} drafts a round, {:.2} x the speed without \
                 drafts{mark}",
                point.tokens_per_round, point.drafted_per_round, point.speedup
            );
            (format!("threshold {:.1}", point.threshold), figures)
        })
        .collect();
    let rows: Vec<(&str, String)> =
        rows.iter().map(|(label, figures)| (label.as_str(), figures.clone())).collect();
    ui::table(&rows)
}
