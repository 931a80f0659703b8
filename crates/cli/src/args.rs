//! Every command and flag, with the help that explains it.

mod distill;
mod link;

pub(crate) use distill::DistillArgs;
pub(crate) use link::LinkArgs;

use clap::{Args as ClapArgs, Parser, Subcommand};
use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};
use tricorn_core::{ChunkPolicy, HiddenCodec, Split};
use tricorn_device::Drafting;
use tricorn_model::DrafterKind;

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 asked wrongly, 3 no cloud or refused by it.";

/// Run a language model split in three: its ends here, its middle in a cloud.
///
/// The text stays on this device; hidden states travel. The device drafts, the cloud verifies, and the text is exactly what the whole
/// model would have written.
///
/// Begin with `tricorn demo`.
#[derive(Debug, Parser)]
#[command(name = "tricorn", version, arg_required_else_help = true, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch the built-in model write a story, its middle in another process
    Demo(DemoArgs),
    /// Generate text from one prompt
    Run(RunArgs),
    /// Talk with a model over several turns
    Chat(ChatArgs),
    /// Serve a model's middle layers to devices
    Cloud(CloudArgs),
    /// Emulate a link between devices and a cloud: rate, delay, jitter, stalls, outages
    Link(LinkArgs),
    /// Train a drafter for a model
    Distill(DistillArgs),
    /// Write a device bundle and a cloud bundle, so that neither side needs the other's weights
    Pack(PackArgs),
    /// Show what a model is and what each side of it weighs
    Inspect(InspectArgs),
}

/// Which model, and where it is cut.
#[derive(Debug, ClapArgs)]
pub(crate) struct ModelArgs {
    /// Model directory in the Hugging Face layout, a bundle made by `tricorn pack`, or `demo` for the built-in model
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// First M and last K decoder layers on the device; device and cloud must agree [default: the bundle's or the drafter's, else 2:0]
    #[arg(long, value_name = "M:K")]
    pub(crate) split: Option<Split>,
    /// Threads for computing, 1 to 1024 [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
}

/// Where the middle layers run.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub(crate) struct MiddleArgs {
    /// The cloud that runs the middle layers
    #[arg(long, value_name = "URL")]
    pub(crate) cloud: Option<String>,
    /// Run the middle layers here too: the reference for what any cloud must answer
    #[arg(long)]
    pub(crate) local: bool,
}

/// How text is generated. None of these but the sampling changes the text.
#[derive(Debug, ClapArgs)]
pub(crate) struct GenerateArgs {
    /// Most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub(crate) max_tokens: usize,
    /// Randomness: 0 takes the likeliest token, 1 samples as the model was trained
    #[arg(long, value_name = "T", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) temperature: f32,
    /// Seed of the sampling; the same seed gives the same text in every mode
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Do not draft: one token a round trip
    #[arg(long)]
    pub(crate) no_draft: bool,
    /// Which of the model's drafters to use: hat or fused [default: the one with the most tokens a round]
    #[arg(long, value_name = "KIND", conflicts_with = "no_draft")]
    pub(crate) drafter: Option<DrafterKind>,
    /// Most drafts before a verification
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub(crate) max_draft: usize,
    /// Confidence below which drafting stops, 0 to 1 [default: the best found for the drafter, else 0.6]
    #[arg(long, value_name = "P", value_parser = parse_probability)]
    pub(crate) threshold: Option<f32>,
    /// Tokens in one chunk of the prompt's upload, or `whole`
    #[arg(long, value_name = "N", default_value = "whole", value_parser = parse_chunk)]
    pub(crate) chunk: ChunkPolicy,
    /// Format of hidden states on the wire: f16, or f32 for exact numbers at twice the bytes
    #[arg(long, value_name = "CODEC", default_value_t = HiddenCodec::F16)]
    pub(crate) codec: HiddenCodec,
    /// Seconds without an answer after which the cloud is taken for dead
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = parse_seconds)]
    pub(crate) deadline: f64,
}

impl GenerateArgs {
    pub(crate) fn drafting(&self) -> Drafting {
        if self.no_draft { Drafting::Off } else { self.drafter.map_or(Drafting::Best, Drafting::Kind) }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// What the story is about
    #[arg(long, value_name = "TEXT", default_value = "A curious girl finds a hidden door in her grandmother's garden.")]
    pub(crate) prompt: OsString,
    /// Most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) max_tokens: usize,
    /// Print one JSON object instead of the text and the table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  tricorn run --model demo --local 'A dragon who is afraid of fire.'
  tricorn run --model demo --cloud http://127.0.0.1:7070 --json 'A lost letter.'
  echo 'Once upon a time' | tricorn run --model demo --local --raw -")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) middle: MiddleArgs,
    #[command(flatten)]
    pub(crate) generate: GenerateArgs,
    /// Take the prompt as it is, without the model's chat template
    #[arg(long)]
    pub(crate) raw: bool,
    /// Print one JSON object: text, token_ids, finish_reason, ttft_ms, tbt_ms, rounds, drafted, accepted_per_round, bytes_up, bytes_down
    #[arg(long)]
    pub(crate) json: bool,
    /// What to ask; `-` reads it from standard input
    pub(crate) prompt: OsString,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ChatArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) middle: MiddleArgs,
    #[command(flatten)]
    pub(crate) generate: GenerateArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CloudArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Where to listen; port 0 takes any free port
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7070), value_parser = parse_listen)]
    pub(crate) listen: SocketAddr,
    /// Sessions at a time
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) max_sessions: usize,
    /// Memory for all sessions' KV caches, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    pub(crate) kv_memory: usize,
    /// Stop when standard input ends: for programs that start a cloud of their own
    #[arg(long, hide = true)]
    pub(crate) until_stdin_ends: bool,
    /// Print the ready line as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PackArgs {
    /// Model directory, or `demo`
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// First M and last K decoder layers for the device [default: the drafter's, else 2:0]
    #[arg(long, value_name = "M:K")]
    pub(crate) split: Option<Split>,
    /// Folder for the bundles `device` and `cloud`; must be new or empty
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InspectArgs {
    /// Model directory, bundle, or `demo`
    #[arg(value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Cut to look at
    #[arg(long, value_name = "M:K")]
    pub(crate) split: Option<Split>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write IP:PORT, for example 127.0.0.1:7070, or 0.0.0.0:7070 for every address of this machine".to_owned())
}

fn parse_chunk(text: &str) -> Result<ChunkPolicy, String> {
    match text {
        "whole" => Ok(ChunkPolicy::Whole),
        _ => match text.parse::<usize>() {
            Ok(rows) if rows > 0 => Ok(ChunkPolicy::Fixed(rows)),
            _ => Err("give a number of tokens of at least 1, or `whole`".to_owned()),
        },
    }
}

fn parse_probability(text: &str) -> Result<f32, String> {
    text.parse::<f32>().ok().filter(|p| (0.0..=1.0).contains(p)).ok_or_else(|| "give a number from 0 to 1".to_owned())
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|s| (0.001..=86_400.0).contains(s)).ok_or_else(|| "give seconds from 0.001 to 86400".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }
}
