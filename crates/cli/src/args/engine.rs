//! Flags of `tricorn bench engine`.

use super::ModelArgs;
use clap::{Args as ClapArgs, ValueEnum, ValueHint};
use std::{ffi::OsString, path::PathBuf};

/// What to compare the engine with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeerName {
    /// llama-cpp-python, from PyPI
    LlamaCpp,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Figures are medians of the rounds. In each round the machine's limits are measured first, \
then every piece of work: by this engine, then by the peer. `decode at N` writes behind N tokens, \
`R rows at N` verifies R rows there. Build with --release.

Examples:
  tricorn bench engine --model model.gguf
  tricorn bench engine --model model.gguf --threads 2 --peer llama-cpp
  tricorn bench engine --model demo --prefill 16,128 --rows 1,8 --json
  python3 tools/synthetic_gguf.py --shape 1.1b --quant q4_k_m --out model.gguf    # to measure \
with")]
pub(crate) struct EngineArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Lengths of prompts, with commas; decoding is measured behind the shortest and the longest
    /// [default: of 8, 64, 512, 2048 what fits]
    #[arg(long, value_name = "LENGTHS", value_delimiter = ',')]
    pub(crate) prefill: Vec<usize>,
    /// Rows of verification-sized batches, with commas
    #[arg(long, value_name = "ROWS", value_delimiter = ',', default_value = "1,2,4,8,16")]
    pub(crate) rows: Vec<usize>,
    /// Tokens to decode
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) decode: usize,
    /// How often everything is measured
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Run the same GGUF file through another engine as well
    #[arg(long, value_name = "NAME")]
    pub(crate) peer: Option<PeerName>,
    /// The Python that has llama-cpp-python
    #[arg(
        long,
        value_name = "PATH",
        default_value = "python3",
        value_hint = ValueHint::ExecutablePath,
        requires = "peer"
    )]
    pub(crate) python: OsString,
    /// Folder for engine.md and engine.json
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
