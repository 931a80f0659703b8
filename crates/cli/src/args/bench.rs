//! Flags of `tricorn bench`.

use super::{EngineArgs, PerplexityArgs, named};
use clap::{Args as ClapArgs, Subcommand};
use std::path::PathBuf;
use tricorn_bench::{Load, Sweep};
use tricorn_core::Split;
use tricorn_kernels::KvFormat;

#[derive(Debug, ClapArgs)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) what: Bench,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Compare HAT with its baselines over emulated links
    Hat(HatArgs),
    /// Measure prefill, decoding and small batches against the machine's limits, and against
    /// llama.cpp
    Engine(EngineArgs),
    /// Measure how well a model predicts a text, in one or several formats of its weights
    Perplexity(PerplexityArgs),
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Scenarios: paper-proportions, wifi-scaled, 5g, lte, wan80, quick.
Modes: u-shape, u-sarathi, +chunks, +chunks+drafts, hat, hat-no-chunks, hat-fused, u-shape-coded, \
                        hat-coded, fixed-N.
Exit codes: 0 done, 1 a text differs from the whole model's or a request failed, 2 asked wrongly, \
                        130 stopped by Ctrl-C (what was measured is reported).

Examples:
  tricorn bench hat --scenario quick             # seconds: does every mode write the right text?
  tricorn bench hat --load mid --out results     # report.md, report.json and pictures
  tricorn bench hat --scenario lte --modes u-shape,hat --requests 12
  tricorn bench hat --sweep chunks --out chunks")]
pub(crate) struct HatArgs {
    /// Model directory in the Hugging Face layout, a .gguf file, hf:ORG/NAME, or `demo` for the
    /// built-in model
    #[arg(long, value_name = "PATH", default_value = "demo")]
    pub(crate) model: PathBuf,
    /// First M and last K decoder layers on the device [default: the drafter's, else 2:0]
    #[arg(long, value_name = "M:K")]
    pub(crate) split: Option<Split>,
    /// Threads for computing, in this process and in each cloud, 1 to 1024 [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Format of the KV caches, in this process and in each cloud: f16, q8 or f32
    #[arg(
        long,
        value_name = "FORMAT",
        default_value_t = KvFormat::F16,
        value_parser = named::kv(),
        hide_possible_values = true
    )]
    pub(crate) kv: KvFormat,
    /// Link, devices, cloud and loads, by name
    #[arg(long, value_name = "NAME", default_value = "paper-proportions")]
    pub(crate) scenario: String,
    /// Loads: low, mid, high; several with commas [default: all three, in `quick` mid]
    #[arg(long, value_name = "LOADS", value_delimiter = ',', conflicts_with = "rate")]
    pub(crate) load: Vec<Load>,
    /// Requests a second, in place of the scenario's loads
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub(crate) rate: Option<f64>,
    /// Modes, with commas [default: all whose drafter is there]
    #[arg(long, value_name = "MODES", value_delimiter = ',', conflicts_with = "sweep")]
    pub(crate) modes: Vec<String>,
    /// One question in place of the comparison: chunks, interference, parallel, drafters,
    /// streaming, stages
    #[arg(long, value_name = "NAME")]
    pub(crate) sweep: Option<Sweep>,
    /// Devices [default: the scenario's]
    #[arg(long, value_name = "N")]
    pub(crate) devices: Option<usize>,
    /// Requests a mode and load [default: the scenario's, in sweeps 12]
    #[arg(long, value_name = "N")]
    pub(crate) requests: Option<usize>,
    /// Most tokens to generate for each [default: the scenario's]
    #[arg(long, value_name = "N")]
    pub(crate) max_new: Option<usize>,
    /// Seed of arrivals, prompts and devices; the same requests for every mode
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Own prompts: one JSON object a line with the field `prompt` [default: stories, as long as
    /// Spec-Bench's prompts]
    #[arg(long, value_name = "FILE")]
    pub(crate) prompts: Option<PathBuf>,
    /// Compare every text with the whole model's (always so in `quick`)
    #[arg(long)]
    pub(crate) check: bool,
    /// Folder for report.md, report.json and pictures
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
