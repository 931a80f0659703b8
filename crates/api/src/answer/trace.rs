//! The extension `tricorn`: figures of the split, told beside the text.

use crate::choices::Choice;
use serde::Serialize;
use std::time::Duration;
use tricorn_device::{
    Direction, RoundTrace, TraceEvent, TurnReport, WireSample,
    engine::{Finished, TextToken},
};

/// Events told of one turn, which bounds the last chunk of a long text.
const MAX_EVENTS: usize = 4096;

/// The extension's object: of a chunk, or of the last chunk or a whole answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Told<'a> {
    Progress(Progress<'a>),
    Summary(Summary),
}

/// What goes with a chunk.
#[derive(Debug, Serialize)]
pub(super) struct Progress<'a> {
    tokens: Vec<Token<'a>>,
    bytes_up: u64,
    bytes_down: u64,
    elapsed_ms: f64,
}

#[derive(Debug, Serialize)]
struct Token<'a> {
    id: u32,
    text: &'a str,
    drafted: bool,
}

impl<'a> Progress<'a> {
    /// `round`: the last answer of the cloud, where there was one.
    pub(super) fn of(tokens: &'a [TextToken], round: Option<&RoundTrace>) -> Self {
        let token = |token: &'a TextToken| Token {
            id: token.id,
            text: &token.text,
            drafted: token.drafted,
        };
        Self {
            tokens: tokens.iter().map(token).collect(),
            bytes_up: round.map_or(0, |round| round.bytes_up),
            bytes_down: round.map_or(0, |round| round.bytes_down),
            elapsed_ms: round.map_or(0.0, |round| milliseconds(round.elapsed)),
        }
    }
}

/// What goes with the last chunk, or with a whole answer.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// Whether the device's drafter wrote some of the text without the cloud.
    offline: bool,
    #[serde(flatten)]
    figures: Option<Figures>,
}

#[derive(Debug, Serialize)]
struct Figures {
    ttft_ms: f64,
    tbt_ms: f64,
    rounds: usize,
    drafted: usize,
    accepted: usize,
    accepted_per_round: f64,
    bytes_up: u64,
    bytes_down: u64,
    prompt_tokens: usize,
    reused_tokens: usize,
    reconnects: usize,
    waterfall: Vec<Step>,
    wire: Vec<Sample>,
}

impl Summary {
    /// Of one choice: the whole picture where it was asked for; without, only that its text is not
    /// the model's.
    pub(super) fn of(finished: &Finished, asked: bool) -> Option<Self> {
        Self::whole(finished, finished.offline, asked)
    }

    /// Of a whole answer: `last` is the last choice, and `offline` whether any was.
    pub(super) fn whole(last: &Finished, offline: bool, asked: bool) -> Option<Self> {
        (asked || offline).then(|| Self { offline, figures: asked.then(|| Figures::of(last)) })
    }

    /// Of an answer with these choices.
    pub(super) fn of_all(choices: &[Choice], asked: bool) -> Option<Self> {
        let offline = choices.iter().any(|choice| choice.finished.offline);
        choices.last().and_then(|last| Self::whole(&last.finished, offline, asked))
    }
}

impl Figures {
    fn of(finished: &Finished) -> Self {
        let report: &TurnReport = &finished.report;
        let stats = &report.stats;
        Self {
            ttft_ms: milliseconds(report.ttft),
            tbt_ms: milliseconds(report.tbt_mean()),
            rounds: stats.rounds,
            drafted: stats.drafted,
            accepted: stats.accepted,
            accepted_per_round: stats.accepted_per_round(),
            bytes_up: report.bytes_up,
            bytes_down: report.bytes_down,
            prompt_tokens: finished.prompt_tokens,
            reused_tokens: finished.cached_tokens,
            reconnects: stats.lost_connections,
            waterfall: report.trace.iter().take(MAX_EVENTS).map(Step::of).collect(),
            wire: report.wire.iter().map(Sample::of).collect(),
        }
    }
}

/// One thing the device did or saw; times count from the turn's start.
#[derive(Debug, Default, Serialize)]
struct Step {
    kind: &'static str,
    start_ms: f64,
    end_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pos: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compute_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    branches: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<usize>,
}

impl Step {
    fn of(event: &TraceEvent) -> Self {
        let step = |kind, start, end| Self {
            kind,
            start_ms: milliseconds(start),
            end_ms: milliseconds(end),
            ..Self::default()
        };
        match *event {
            TraceEvent::Shallow { pos, rows, start, end } => {
                Self { pos: Some(pos), rows: Some(rows), ..step("shallow", start, end) }
            }
            TraceEvent::Sent { pos, rows, bytes, at, .. } => Self {
                pos: Some(pos),
                rows: Some(rows),
                bytes: Some(bytes),
                ..step("sent", at, at)
            },
            TraceEvent::Answered { pos, rows, bytes, at, timing } => Self {
                pos: Some(pos),
                rows: Some(rows),
                bytes: Some(bytes),
                queue_ms: Some(milliseconds(timing.queue)),
                compute_ms: Some(milliseconds(timing.compute)),
                ..step("answered", at, at)
            },
            TraceEvent::Drafted { start, end, branches } => {
                Self { branches: Some(branches), ..step("drafted", start, end) }
            }
            TraceEvent::Judged { start, end, tokens } => {
                Self { tokens: Some(tokens), ..step("judged", start, end) }
            }
        }
    }
}

/// A part of what crossed the wire.
#[derive(Debug, Serialize)]
struct Sample {
    pos: usize,
    direction: &'static str,
    bytes: u64,
    sample: Vec<f32>,
}

impl Sample {
    fn of(sample: &WireSample) -> Self {
        let direction = match sample.direction {
            Direction::Up => "up",
            Direction::Down => "down",
        };
        Self { pos: sample.pos, direction, bytes: sample.bytes, sample: sample.values.clone() }
    }
}

/// To the microsecond.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}
