//! Arguments: every command and flag, with its help.

mod bench;
mod config;
mod device;
mod distill;
mod engine;
pub(crate) mod generate;
mod link;
mod log;
mod named;
mod perplexity;
mod sampling;

pub(crate) use bench::{Bench, BenchArgs, HatArgs};
pub(crate) use config::{CompletionsArgs, ConfigArgs, ManArgs, PullArgs};
pub(crate) use device::DeviceArgs;
pub(crate) use distill::DistillArgs;
pub(crate) use engine::{EngineArgs, PeerName};
pub(crate) use generate::{DrafterArgs, GenerateArgs, Threshold};
pub(crate) use link::LinkArgs;
pub(crate) use log::{LogArgs, LogFormat, LogLevel};
pub(crate) use perplexity::{Format, PerplexityArgs};

use clap::{Args as ClapArgs, Parser, Subcommand};
use named::named;
use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Range,
    path::PathBuf,
    time::Duration,
};
use tricorn_cloud::Throttle;
use tricorn_core::{Schedule, Split};
use tricorn_kernels::KvFormat;
use tricorn_model::{ComputeDevice, quant::Quant};

/// Commands whose flags the file and the environment set: those that run for long, and those that
/// generate text.
pub(crate) const COMMANDS: [&str; 4] = ["device", "cloud", "run", "chat"];

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed, 2 asked wrongly, 3 no cloud or refused by it.";

/// Run a language model split in three: its ends here, its middle in a cloud.
///
/// The text stays on this device; hidden states travel. The device drafts, the cloud verifies, and
/// the text is exactly what the whole model would have written.
///
/// Begin with `tricorn demo`.
#[derive(Debug, Parser)]
#[command(
    name = "tricorn",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = EXIT_CODES
)]
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
    /// Serve an OpenAI-compatible endpoint on this device, the model's middle in a cloud
    Device(DeviceArgs),
    /// Serve a model's middle layers to devices
    Cloud(CloudArgs),
    /// Emulate a link between devices and a cloud: rate, delay, jitter, stalls, outages
    Link(LinkArgs),
    /// Measure and compare split inference methods
    Bench(BenchArgs),
    /// Train a drafter for a model
    Distill(DistillArgs),
    /// Write a device bundle and a cloud bundle, so that neither side needs the other's weights
    Pack(PackArgs),
    /// Show what a model is and what each side of it weighs
    Inspect(InspectArgs),
    /// Fetch a model from a hub into the cache that other tools share
    Pull(PullArgs),
    /// Show what a command would run with, and where each value came from
    Config(ConfigArgs),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
    /// Print the manual page
    Man(ManArgs),
}

/// Which model, and where it is cut.
#[derive(Debug, ClapArgs)]
pub(crate) struct ModelArgs {
    /// Model directory in the Hugging Face layout, a bundle made by `tricorn pack`, a .gguf file,
    /// hf:ORG/NAME as `tricorn pull` fetched it, or `demo` for the built-in model
    #[arg(long, value_name = "PATH")]
    pub(crate) model: PathBuf,
    /// First M and last K decoder layers on the device; device and cloud must agree [default: the
    /// bundle's or the drafter's, else 2:0]
    #[arg(long, value_name = "M:K")]
    pub(crate) split: Option<Split>,
    /// Hold the weights as q4k, q8, f16 or f32, quantised at load [default: as stored]. The text is
    /// that of the model so quantised; a device and a cloud that differ refuse each other
    #[arg(long, value_name = "FORMAT", value_parser = named::quant(), hide_possible_values = true)]
    pub(crate) quant: Option<Quant>,
    /// Threads for computing, 1 to 1024 [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// What computes the layers and the head: cpu, cuda:N or metal:N; the latter two only where the
    /// program was built with them
    #[arg(long, value_name = "DEVICE", default_value_t = ComputeDevice::Cpu)]
    pub(crate) device: ComputeDevice,
    /// Format of the KV cache: f16, q8 for half the memory, or f32; for one text everywhere, device
    /// and cloud take the same
    #[arg(
        long,
        value_name = "FORMAT",
        default_value_t = KvFormat::F16,
        value_parser = named::kv(),
        hide_possible_values = true
    )]
    pub(crate) kv: KvFormat,
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

#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// What the story is about
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "A curious girl finds a hidden door in her grandmother's garden."
    )]
    pub(crate) prompt: OsString,
    /// Most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) max_tokens: usize,
    /// Format of the KV cache, on both sides: f16, q8 or f32
    #[arg(
        long,
        value_name = "FORMAT",
        default_value_t = KvFormat::F16,
        value_parser = named::kv(),
        hide_possible_values = true
    )]
    pub(crate) kv: KvFormat,
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
    /// Print one JSON object: text, token_ids, finish_reason, ttft_ms, tbt_ms, rounds, drafted,
    /// accepted_per_round, bytes_up, bytes_down
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
#[command(after_help = "\
Examples:
  tricorn cloud --model demo

A middle in two clouds, the later layers first, then those that devices connect to:
  tricorn cloud --model demo --layers 7..12 --listen 127.0.0.1:7071
  tricorn cloud --model demo --layers 2..7 --next http://127.0.0.1:7071")]
pub(crate) struct CloudArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Where to listen; port 0 takes any free port
    #[arg(
        long,
        value_name = "ADDR",
        default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7070),
        value_parser = parse_listen
    )]
    pub(crate) listen: SocketAddr,
    /// Sessions at a time
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) max_sessions: usize,
    /// Layers A up to but without B of the whole model: one stage of a middle in several clouds
    /// [default: the whole middle]
    #[arg(long, value_name = "A..B", value_parser = parse_layers)]
    pub(crate) layers: Option<Range<usize>>,
    /// The cloud that holds the layers after these, started before this one
    #[arg(long, value_name = "URL")]
    pub(crate) next: Option<String>,
    /// Seconds without an answer after which the next cloud is taken for dead
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30.0,
        value_parser = generate::parse_seconds
    )]
    pub(crate) next_deadline: f64,
    /// Memory for all sessions' KV caches, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 4096, value_parser = parse_mib)]
    pub(crate) kv_memory: usize,
    /// Most rows in one append, up to the model's context
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = parse_rows)]
    pub(crate) max_append_rows: usize,
    /// Most rows in one batch
    #[arg(
        long,
        visible_alias = "max-batch-tokens",
        value_name = "N",
        default_value_t = 512,
        value_parser = parse_rows
    )]
    pub(crate) batch_rows: usize,
    /// How prompts share batches with verifications: `chunked` cuts them to keep to --tbt-target,
    /// `whole` never cuts them
    #[arg(
        long,
        value_name = "SCHEDULE",
        default_value = "chunked",
        value_parser = named(["chunked", "whole"], parse_schedule),
        hide_possible_values = true
    )]
    pub(crate) schedule: Schedule,
    /// Milliseconds between two verifications of a device to allow for when prompts are cut
    #[arg(long, value_name = "MS", default_value_t = 100.0, value_parser = parse_milliseconds)]
    pub(crate) tbt_target: f64,
    /// Make every batch take at least BASE + ROW x rows, in microseconds, as on a slower server:
    /// for benchmarks
    #[arg(long, value_name = "BASE:ROW", value_parser = parse_pace)]
    pub(crate) emulate_pace: Option<Throttle>,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// Stop when standard input ends: for programs that start a cloud of their own
    #[arg(long, hide = true)]
    pub(crate) until_stdin_ends: bool,
    /// Print the ready line as JSON, and at the end what was computed: batches, rows, and overruns
    /// of the emulated pace
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
With --quant or --whole, and for models that are stored quantised, matrices are written as the \
kernels want them: such a directory loads at once, by being mapped, and must not be changed while \
it is in use.

Examples:
  tricorn pack --model DIR --split 2:0 --out bundles                # tensors as they are stored
  tricorn pack --model DIR --split 2:0 --quant q4k --out bundles    # a quarter of the bytes
  tricorn pack --model DIR --quant q4k --whole --out DIR-q4k        # one directory, for --local")]
pub(crate) struct PackArgs {
    /// Model directory, .gguf file, hf:ORG/NAME, or `demo`
    #[arg(long, value_name = "PATH")]
    pub(crate) model: PathBuf,
    /// Quantise the weights: q4k, q8, f16 or f32 [default: as stored]
    #[arg(long, value_name = "FORMAT", value_parser = named::quant(), hide_possible_values = true)]
    pub(crate) quant: Option<Quant>,
    /// Write the whole model, packed for the kernels, in place of two bundles
    #[arg(long, conflicts_with = "split")]
    pub(crate) whole: bool,
    /// First M and last K decoder layers for the device [default: the drafter's, else 2:0]
    #[arg(long, value_name = "M:K")]
    pub(crate) split: Option<Split>,
    /// Folder for the bundles `device` and `cloud`, or for the whole model; must be new or empty
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InspectArgs {
    /// Model directory, bundle, .gguf file, hf:ORG/NAME, or `demo`
    #[arg(value_name = "PATH")]
    pub(crate) model: PathBuf,
    /// Cut to look at
    #[arg(long, value_name = "M:K")]
    pub(crate) split: Option<Split>,
    /// Format that the weights would be held in: q4k, q8, f16 or f32 [default: as stored]
    #[arg(long, value_name = "FORMAT", value_parser = named::quant(), hide_possible_values = true)]
    pub(crate) quant: Option<Quant>,
    /// Format of the KV cache to count: f16, q8 or f32
    #[arg(
        long,
        value_name = "FORMAT",
        default_value_t = KvFormat::F16,
        value_parser = named::kv(),
        hide_possible_values = true
    )]
    pub(crate) kv: KvFormat,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write IP:PORT, for example 127.0.0.1:7070, or 0.0.0.0:7070 for every address of this \
         machine"
            .to_owned()
    })
}

fn parse_layers(text: &str) -> Result<Range<usize>, String> {
    let range =
        text.split_once("..").and_then(|(start, end)| Some(start.parse().ok()?..end.parse().ok()?));
    range.ok_or_else(|| "write A..B, for example 4..8 for the layers 4, 5, 6 and 7".to_owned())
}

fn parse_rows(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|&rows| rows > 0)
        .ok_or_else(|| "give a number of rows of at least 1".to_owned())
}

fn parse_mib(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&mib| mib > 0).ok_or_else(|| "give whole MiB, at least 1".to_owned())
}

fn parse_schedule(text: &str) -> Result<Schedule, String> {
    match text {
        "whole" => Ok(Schedule::Whole),
        "chunked" => Ok(Schedule::Chunked),
        _ => Err("write `whole` or `chunked`".to_owned()),
    }
}

fn parse_milliseconds(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|ms| (0.001..=3_600_000.0).contains(ms))
        .ok_or_else(|| "give milliseconds from 0.001 to 3600000".to_owned())
}

fn parse_pace(text: &str) -> Result<Throttle, String> {
    let micros =
        |text: &str| text.parse::<u32>().ok().map(|micros| Duration::from_micros(micros.into()));
    text.split_once(':')
        .and_then(|(base, row)| Some(Throttle { base: micros(base)?, per_row: micros(row)? }))
        .ok_or_else(|| "write BASE:ROW in whole microseconds, for example 20000:100".to_owned())
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
