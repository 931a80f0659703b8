//! The flags of the commands that generate text.

use super::{
    named::{self, named},
    sampling::SamplingArgs,
};
use clap::Args as ClapArgs;
use tricorn_core::{ChunkPolicy, DraftPolicy, HiddenCodec, Streaming};
use tricorn_device::Drafting;
use tricorn_model::DrafterKind;

/// Continuations drafted while a verification is out, unless told otherwise.
pub(crate) const PARALLEL: usize = 4;

/// How text is generated. None of these but the sampling changes the text.
#[derive(Debug, ClapArgs)]
pub(crate) struct GenerateArgs {
    /// Most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub(crate) max_tokens: usize,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
    #[command(flatten)]
    pub(crate) drafter: DrafterArgs,
    /// Most drafts before a verification
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) max_draft: usize,
    /// Confidence below which drafting stops, 0 to 1, or `auto` to stop where a draft is expected
    /// to cost more time than it saves [default: the best found for the drafter, else 0.6]
    #[arg(long, value_name = "P", value_parser = parse_threshold)]
    pub(crate) threshold: Option<Threshold>,
    /// Continuations drafted while a verification is out, 0 to 8; one of them may be how the text
    /// goes on
    #[arg(long, value_name = "N", default_value_t = PARALLEL, value_parser = parse_parallel)]
    pub(crate) parallel: usize,
    /// Whether drafts are sent one by one as they are made: auto, always or never
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        value_parser = named(["auto", "always", "never"], parse_streaming),
        hide_possible_values = true
    )]
    pub(crate) stream: Streaming,
    /// Tokens in one chunk of the prompt's upload, `whole`, or `dynamic` for what is best by what
    /// is measured of device, link and cloud
    #[arg(long, value_name = "N", default_value = "dynamic", value_parser = parse_chunk)]
    pub(crate) chunk: ChunkPolicy,
    /// Format of hidden states on the wire: f16z (f16 in fewer bytes), f16, or f32 for exact
    /// numbers at twice the bytes
    #[arg(
        long,
        value_name = "CODEC",
        default_value_t = HiddenCodec::F16z,
        value_parser = named::codec(),
        hide_possible_values = true
    )]
    pub(crate) codec: HiddenCodec,
    /// Seconds without an answer after which the cloud is taken for dead
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = parse_seconds)]
    pub(crate) deadline: f64,
}

/// Which drafter guesses.
#[derive(Debug, ClapArgs)]
pub(crate) struct DrafterArgs {
    /// Do not draft: one token a round trip
    #[arg(long)]
    pub(crate) no_draft: bool,
    /// Which of the model's drafters to use: hat or fused [default: the one with the most tokens a
    /// round]
    #[arg(
        long,
        value_name = "KIND",
        conflicts_with = "no_draft",
        value_parser = named::drafter(),
        hide_possible_values = true
    )]
    drafter: Option<DrafterKind>,
}

impl DrafterArgs {
    pub(crate) fn drafting(&self) -> Drafting {
        if self.no_draft {
            Drafting::Off
        } else {
            self.drafter.map_or(Drafting::Best, Drafting::Kind)
        }
    }
}

/// When drafting stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Threshold {
    /// At the first draft whose confidence is below this.
    At(f32),
    /// Where one more is expected to cost more than it saves.
    Auto,
}

fn parse_chunk(text: &str) -> Result<ChunkPolicy, String> {
    match text {
        "whole" => Ok(ChunkPolicy::Whole),
        "dynamic" => Ok(ChunkPolicy::Dynamic),
        _ => match text.parse::<usize>() {
            Ok(rows) if rows > 0 => Ok(ChunkPolicy::Fixed(rows)),
            _ => Err("give a number of tokens of at least 1, `whole` or `dynamic`".to_owned()),
        },
    }
}

fn parse_threshold(text: &str) -> Result<Threshold, String> {
    match text {
        "auto" => Ok(Threshold::Auto),
        _ => match text.parse::<f32>() {
            Ok(p) if (0.0..=1.0).contains(&p) => Ok(Threshold::At(p)),
            _ => Err("give a number from 0 to 1, or `auto`".to_owned()),
        },
    }
}

fn parse_parallel(text: &str) -> Result<usize, String> {
    let most = DraftPolicy::MAX_PARALLEL;
    text.parse()
        .ok()
        .filter(|count| *count <= most)
        .ok_or_else(|| format!("give a number from 0 to {most}"))
}

fn parse_streaming(text: &str) -> Result<Streaming, String> {
    match text {
        "auto" => Ok(Streaming::Auto),
        "always" => Ok(Streaming::Always),
        "never" => Ok(Streaming::Never),
        _ => Err("write auto, always or never".to_owned()),
    }
}

pub(super) fn parse_seconds(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|s| (0.001..=86_400.0).contains(s))
        .ok_or_else(|| "give seconds from 0.001 to 86400".to_owned())
}
