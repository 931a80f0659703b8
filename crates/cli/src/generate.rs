//! One turn on the terminal, shared by the commands that generate text.

use crate::{
    args::{GenerateArgs, Threshold, generate::PARALLEL},
    error::CliError,
    ui,
};
use serde::Serialize;
use std::{
    io::{self, Write},
    ops::ControlFlow,
    time::Duration,
};
use tokio::runtime::Runtime;
use tricorn_core::{DraftPolicy, DraftStop, FinishReason, Streaming};
use tricorn_device::{
    Conversation, DeviceParts, Event, LocalTransport, Prompter, RemoteConfig, RemoteTransport,
    Transport, Turn, TurnReport,
    constraint::{Grammar, Grammars},
};
use tricorn_kernels::KvFormat;
use tricorn_model::MiddlePart;

/// Where the text goes while it grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// To standard output, drafted tokens marked when it is a terminal.
    Stream,
    /// Nowhere.
    Nothing,
}

/// A finished turn.
#[derive(Debug)]
pub(crate) struct Generated {
    pub(crate) text: String,
    pub(crate) report: TurnReport,
}

/// How a device drafts that is told nothing: by the threshold that was found best for its drafter,
/// on the link and beside it.
pub(crate) fn draft_policy(parts: &DeviceParts) -> DraftPolicy {
    let defaults = DraftPolicy::default();
    let stop = parts
        .drafter()
        .map_or(defaults.stop, |drafter| DraftStop::Threshold(drafter.info().threshold));
    DraftPolicy { stop, stream: Streaming::Auto, parallel: PARALLEL, ..defaults }
}

/// The drafting that the flags ask for.
fn asked_policy(args: &GenerateArgs, parts: &DeviceParts) -> DraftPolicy {
    if args.drafter.no_draft {
        return DraftPolicy::OFF;
    }
    let policy = draft_policy(parts);
    let stop = match args.threshold {
        Some(Threshold::At(threshold)) => DraftStop::Threshold(threshold),
        Some(Threshold::Auto) => DraftStop::Expected { until_known: policy.stop.threshold() },
        None => policy.stop,
    };
    DraftPolicy {
        max_len: args.max_draft,
        stop,
        stream: args.stream,
        parallel: args.parallel,
        ..policy
    }
}

/// The sampling and drafting that the flags ask for.
pub(crate) fn turn(
    args: &GenerateArgs,
    parts: &DeviceParts,
    grammar: Option<&Grammar>,
    tokens: Vec<u32>,
) -> Result<Turn, CliError> {
    Ok(Turn {
        tokens,
        max_new_tokens: args.max_tokens,
        sampling: args.sampling.params()?,
        constraint: grammar.map(Grammar::constraint),
        logprobs: None,
        draft: asked_policy(args, parts),
        chunk: args.chunk,
    })
}

/// What the flags say of the text's form.
pub(crate) fn grammar(
    args: &GenerateArgs,
    parts: &DeviceParts,
    prompter: &Prompter,
) -> Result<Option<Grammar>, CliError> {
    let Some(path) = &args.sampling.json_schema else { return Ok(None) };
    let refused = |problem: &dyn std::fmt::Display| CliError::SchemaFile {
        path: path.clone(),
        problem: problem.to_string(),
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::SchemaRead { path: path.clone(), error })?;
    let schema = serde_json::from_str(&text).map_err(|error| refused(&error))?;
    Ok(Some(Grammars::new(prompter, &parts.stop_tokens)?.json_schema(&schema)?))
}

/// A link to the cloud at `url`, with the flags' deadline.
pub(crate) fn remote(
    url: &str,
    deadline: f64,
    parts: &DeviceParts,
    runtime: &Runtime,
) -> RemoteTransport {
    let config =
        RemoteConfig { deadline: Duration::from_secs_f64(deadline), ..RemoteConfig::new(url) };
    RemoteTransport::new(config, parts, runtime.handle().clone())
}

/// A link to a middle in this process.
pub(crate) fn local(middle: MiddlePart, parts: &DeviceParts, kv: KvFormat) -> LocalTransport {
    LocalTransport::new(middle.into(), parts.context, parts.codec).with_kv(kv)
}

/// The runtime that carries the connection; one thread is enough for it.
pub(crate) fn runtime() -> Result<Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(CliError::Start)
}

/// Runs one turn and shows its text.
pub(crate) fn run<L: Transport>(
    conversation: &mut Conversation<'_, L>,
    prompter: &Prompter,
    stop_tokens: &[u32],
    turn: Turn,
    show: Show,
) -> Result<Generated, CliError> {
    let mut reply = prompter.reply(&turn.tokens, stop_tokens)?;
    let mut failure: Option<CliError> = None;
    let mut stdout = io::stdout();
    let colour = ui::shows_colour(&stdout);
    let report = conversation.turn(turn, &mut |event| {
        let written = match event {
            Event::Token { id, drafted, .. } => {
                reply.push(id).map_err(CliError::from).and_then(|piece| match show {
                    Show::Stream if !piece.is_empty() => {
                        let piece = if drafted { ui::drafted(&piece, colour) } else { piece };
                        Ok(stdout.write_all(piece.as_bytes()).and_then(|()| stdout.flush())?)
                    }
                    _ => Ok(()),
                })
            }
            Event::Round(_) => Ok(()),
            Event::Reconnecting => {
                ui::note("the cloud went away; reconnecting and replaying\n");
                Ok(())
            }
        };
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    if let Some(error) = failure {
        return Err(error);
    }
    let report = report?;
    let (rest, text) = reply.finish()?;
    if show == Show::Stream {
        writeln!(stdout, "{rest}")?;
    }
    if report.drafts_in_vain() {
        ui::note(format!(
            "warning: drafting gains almost nothing ({:.2} tokens a round); train a drafter with \
             `tricorn distill`, or use --no-draft\n",
            report.stats.accepted_per_round()
        ));
    }
    Ok(Generated { text, report })
}

/// A turn as `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct Json<'a> {
    text: &'a str,
    token_ids: &'a [u32],
    finish_reason: &'static str,
    prompt_tokens: usize,
    ttft_ms: f64,
    tbt_ms: TbtMs,
    rounds: usize,
    drafted: usize,
    accepted: usize,
    accepted_per_round: f64,
    branch_rounds: usize,
    branch_hits: usize,
    reconnects: usize,
    bytes_up: u64,
    bytes_down: u64,
}

#[derive(Debug, Serialize)]
struct TbtMs {
    mean: f64,
    p50: f64,
    p99: f64,
}

impl Generated {
    pub(crate) fn json(&self) -> Json<'_> {
        let report = &self.report;
        Json {
            text: &self.text,
            token_ids: &report.token_ids,
            finish_reason: match report.finish {
                FinishReason::Stop => "stop",
                FinishReason::Length => "length",
                FinishReason::Cancelled => "cancelled",
            },
            prompt_tokens: report.stats.prompt_tokens,
            ttft_ms: ms(report.ttft),
            tbt_ms: TbtMs {
                mean: ms(report.tbt_mean()),
                p50: ms(report.tbt_quantile(0.5)),
                p99: ms(report.tbt_quantile(0.99)),
            },
            rounds: report.stats.rounds,
            drafted: report.stats.drafted,
            accepted: report.stats.accepted,
            accepted_per_round: report.stats.accepted_per_round(),
            branch_rounds: report.stats.branch_rounds,
            branch_hits: report.stats.branch_hits,
            reconnects: report.stats.lost_connections,
            bytes_up: report.bytes_up,
            bytes_down: report.bytes_down,
        }
    }

    /// One line of figures.
    pub(crate) fn summary(&self) -> String {
        let report = &self.report;
        format!(
            "{} tokens | first after {:.1} ms, then {:.2} ms each | {:.2} tokens a round | {} up, \
             {} down",
            report.token_ids.len(),
            ms(report.ttft),
            ms(report.tbt_mean()),
            report.stats.accepted_per_round(),
            ui::bytes(report.bytes_up as usize),
            ui::bytes(report.bytes_down as usize),
        )
    }
}

/// Milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
