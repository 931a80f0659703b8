//! The report on speed, for people and programs.

use std::{fs, path::Path, time::Duration};

use serde::Serialize;
use serde_json::json;
use tricorn_kernels::limits::Limits;
use tricorn_model::ModelConfig;

use super::{
    memory::Memory,
    peer::PeerInfo,
    whole::Weights,
    work::{Kind, Work},
};
use crate::{
    error::BenchError,
    figures::{Table, bytes, median, percent, short},
};

/// Formats of at most so many bits a weight, scales included, are multiplied as int8; all others as
/// f32.
const INT8_BITS: f64 = 9.5;

/// How fast a model runs here.
#[derive(Clone, Debug, Serialize)]
pub struct SpeedReport {
    /// How often everything was measured; every figure is the median.
    pub rounds: usize,
    /// What the machine can do.
    pub limits: Limits,
    /// Bytes of all tensors in the file.
    pub stored_bytes: usize,
    /// Bytes of weights held in memory; the embedding is not among them.
    pub weight_bytes: usize,
    /// Bytes of keys and values a token.
    pub kv_bytes_per_token: usize,
    /// Memory of this process after every piece of work has run once; none where the system does
    /// not tell.
    pub memory: Option<Memory>,
    /// Work by work.
    pub rows: Vec<SpeedRow>,
    /// What was compared with.
    pub peer: Option<PeerInfo>,
}

/// One piece of work.
#[derive(Clone, Debug, Serialize)]
pub struct SpeedRow {
    /// For example `decode at 8`.
    pub work: String,
    /// Rows in a call.
    pub rows: usize,
    /// Of Tricorn.
    pub own: Measured,
    /// The least time that reading the weights and the cache once would take, over the time taken.
    pub bandwidth_share: Option<f64>,
    /// The least time of the arithmetic (matrix products in the weights' format, attention in f32),
    /// over the time taken.
    pub arithmetic_share: Option<f64>,
    /// Of the peer.
    pub peer: Option<Measured>,
    /// The peer's time over Tricorn's, each within one round.
    pub ratio: Option<f64>,
}

/// One side's figures for a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Seconds a call.
    pub seconds: f64,
    /// Rows a second.
    pub tokens_per_second: f64,
    /// Time over that of one row, for verification-sized batches.
    pub to_one_row: Option<f64>,
}

/// What one round gives: the times of all calls, work by work.
#[derive(Clone, Debug)]
pub(super) struct Round {
    limits: Limits,
    pub(super) own: Vec<Vec<Duration>>,
    pub(super) peer: Vec<Vec<Duration>>,
}

impl Round {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, own: Vec::new(), peer: Vec::new() }
    }
}

impl SpeedReport {
    pub(super) fn new(
        config: &ModelConfig,
        work: &[Work],
        rounds: &[Round],
        weights: Weights,
        memory: Option<Memory>,
        peer: Option<PeerInfo>,
    ) -> Self {
        let one_row = work.iter().position(|work| work.kind == Kind::Verify && work.rows == 1);
        let over_rounds =
            |value: &dyn Fn(&Round) -> Option<f64>| median(rounds.iter().filter_map(value));
        let measured = |index: usize, times: fn(&Round) -> &[Vec<Duration>]| {
            let call = |round: &Round, index: usize| typical(times(round).get(index)?);
            let seconds = over_rounds(&|round| call(round, index))?;
            let one_row = one_row.filter(|_| work[index].kind == Kind::Verify);
            Some(Measured {
                seconds,
                tokens_per_second: work[index].rows as f64 / seconds,
                to_one_row: over_rounds(&|round| {
                    Some(call(round, index)? / call(round, one_row?)?)
                }),
            })
        };
        let row = |(index, work): (usize, &Work)| {
            let share = |least: &dyn Fn(&Limits) -> f64| {
                over_rounds(&|round| Some(least(&round.limits) / typical(round.own.get(index)?)?))
            };
            let float_share = |limits: &Limits| arithmetic(*work, config, weights, limits);
            Some(SpeedRow {
                work: work.to_string(),
                rows: work.rows,
                own: measured(index, |round| &round.own)?,
                bandwidth_share: share(&|limits| {
                    (weights.held + weights.kv_position * (work.at + work.rows)) as f64
                        / limits.bandwidth
                }),
                arithmetic_share: share(&float_share),
                peer: measured(index, |round| &round.peer),
                ratio: over_rounds(&|round| {
                    Some(typical(round.peer.get(index)?)? / typical(round.own.get(index)?)?)
                }),
            })
        };
        let limit = |value: fn(&Limits) -> f64| {
            over_rounds(&|round| Some(value(&round.limits))).unwrap_or_default()
        };
        Self {
            rounds: rounds.len(),
            limits: Limits {
                threads: rounds.first().map_or(0, |round| round.limits.threads),
                bandwidth: limit(|limits| limits.bandwidth),
                float_ops: limit(|limits| limits.float_ops),
                int8_ops: over_rounds(&|round| round.limits.int8_ops),
            },
            stored_bytes: weights.stored,
            weight_bytes: weights.held,
            kv_bytes_per_token: weights.kv_position,
            memory,
            rows: work.iter().enumerate().filter_map(row).collect(),
            peer,
        }
    }

    /// Everything that a person at a terminal wants to know.
    #[must_use]
    pub fn text(&self) -> String {
        self.about() + "\n" + &self.table().text()
    }

    /// The same as a document.
    #[must_use]
    pub fn markdown(&self) -> String {
        format!("# The engine\n\n{}\n{}", self.about(), self.table().markdown())
    }

    /// Writes `engine.json` and `engine.md` into a folder, which is made where it is missing.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), BenchError> {
        fs::create_dir_all(folder)
            .map_err(|source| BenchError::Write { file: folder.to_owned(), source })?;
        let write = |name: &str, text: String| {
            let file = folder.join(name);
            fs::write(&file, text).map_err(|source| BenchError::Write { file, source })
        };
        write("engine.json", format!("{:#}\n", json!(self)))?;
        write("engine.md", self.markdown())
    }

    fn about(&self) -> String {
        let Limits { threads, bandwidth, float_ops, int8_ops } = self.limits;
        let billions = |value: f64| short(value / 1e9);
        let int8 =
            int8_ops.map_or(String::new(), |ops| format!(", {} Gop/s in int8", billions(ops)));
        let mut text = format!(
            "{threads} thread{}, medians of {} round{}. The machine: {} GB/s from memory, {} \
             Gflop/s in f32{int8}.\n",
            plural(threads),
            self.rounds,
            plural(self.rounds),
            billions(bandwidth),
            billions(float_ops),
        );
        text += &format!(
            "The model: {} of tensors, {} of weights held ({} x), {} of keys and values a token.",
            bytes(self.stored_bytes as f64),
            bytes(self.weight_bytes as f64),
            short(self.weight_bytes as f64 / self.stored_bytes.max(1) as f64),
            bytes(self.kv_bytes_per_token as f64),
        );
        if let Some(Memory { resident, peak }) = self.memory {
            text += &format!(
                " The process: {}, at most {}.",
                bytes(resident as f64),
                bytes(peak as f64)
            );
        }
        text += "\n";
        if let Some(PeerInfo { version, prefill, decode, verify }) = &self.peer {
            text += &format!(
                "llama.cpp (llama-cpp-python {version}): prefill with {prefill}; decode with \
                 {decode}; rows with {verify}.\n"
            );
        }
        text
    }

    fn table(&self) -> Table {
        let mut header = vec!["", "ms", "tokens/s", "of bandwidth", "of arithmetic", "x one row"];
        if self.peer.is_some() {
            header.extend(["llama.cpp ms", "tokens/s", "x one row", "ratio"]);
        }
        let mut table = Table::new(&header);
        let figure = |value: Option<f64>| value.map_or("-".to_owned(), short);
        let share = |value: Option<f64>| value.map_or("-".to_owned(), percent);
        let cells = |measured: Option<Measured>| {
            [
                measured.map(|m| m.seconds * 1e3),
                measured.map(|m| m.tokens_per_second),
                measured.and_then(|m| m.to_one_row),
            ]
            .map(figure)
        };
        for row in &self.rows {
            let [ms, tokens, to_one_row] = cells(Some(row.own));
            let mut line = vec![
                row.work.clone(),
                ms,
                tokens,
                share(row.bandwidth_share),
                share(row.arithmetic_share),
                to_one_row,
            ];
            if self.peer.is_some() {
                line.extend(cells(row.peer));
                line.push(figure(row.ratio));
            }
            table.push(line);
        }
        table
    }
}

/// The least seconds of a call's arithmetic.
fn arithmetic(work: Work, config: &ModelConfig, weights: Weights, limits: &Limits) -> f64 {
    let bits = weights.held as f64 * 8.0 / (weights.layers + weights.head) as f64;
    let matmul = limits.int8_ops.filter(|_| bits <= INT8_BITS).unwrap_or(limits.float_ops);
    let products = 2.0 * (weights.layers * work.rows + weights.head * work.logits()) as f64;
    // A query's product with a key and a weight's with a value, each a multiplication and an
    // addition.
    let queries: usize = config.shapes().iter().map(|shape| shape.query_width()).sum();
    let attention = 4.0 * queries as f64 * work.attended();
    products / matmul + attention / limits.float_ops
}

/// Seconds of a call, unmoved by one that was disturbed.
fn typical(calls: &[Duration]) -> Option<f64> {
    median(calls.iter().map(Duration::as_secs_f64)).filter(|&seconds| seconds > 0.0)
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
