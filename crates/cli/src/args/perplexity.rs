//! Flags of `tricorn bench perplexity`.

use super::named;
use clap::Args as ClapArgs;
use std::path::PathBuf;
use tricorn_kernels::KvFormat;
use tricorn_model::quant::Quant;

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Perplexity is exp(mean of -ln p) over all tokens but the first of each window; windows do not \
                        overlap. The first format is what the others are compared with, token by \
                        token.

Examples:
  tricorn bench perplexity --model demo --text stories.jsonl
  tricorn bench perplexity --model DIR --text wiki.txt --window 512 --quant stored,q4k
  tricorn bench perplexity --text stories.jsonl --quant f32 --kv f32,f16,q8
  tricorn bench perplexity --model model.gguf --text wiki.txt --quant stored,f32 --tokens 20000")]
pub(crate) struct PerplexityArgs {
    /// Model directory in the Hugging Face layout, a .gguf file, hf:ORG/NAME, or `demo` for the
    /// built-in model
    #[arg(long, value_name = "DIR", default_value = "demo")]
    pub(crate) model: PathBuf,
    /// What to predict: plain text, or one JSON object {"prompt", "response"} a line in a file that
    /// ends in .jsonl
    #[arg(long, value_name = "FILE")]
    pub(crate) text: PathBuf,
    /// Formats of the weights, with commas: q4k, q8, f16, f32, stored [default: f32,q8,q4k; for a
    /// model that is stored quantised: stored]
    #[arg(long, value_name = "FORMATS", value_delimiter = ',', value_parser = parse_format)]
    pub(crate) quant: Vec<Format>,
    /// Formats of keys and values, with commas: f16, q8, f32; the first with every format of the
    /// weights, then the next
    #[arg(
        long,
        value_name = "FORMATS",
        value_delimiter = ',',
        default_value = "f16",
        value_parser = named::kv(),
        hide_possible_values = true
    )]
    pub(crate) kv: Vec<KvFormat>,
    /// Tokens in a window, at least 2 [default: the model's context]
    #[arg(long, value_name = "N")]
    pub(crate) window: Option<usize>,
    /// Tokens of the text to use, from its beginning [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) tokens: Option<usize>,
    /// Threads for computing, 1 to 1024 [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// A format that a model's weights are held in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// As in the files.
    Stored,
    /// Quantised at load.
    Held(Quant),
}

fn parse_format(text: &str) -> Result<Format, String> {
    match text {
        "stored" => Ok(Format::Stored),
        _ => text.parse().map(Format::Held).map_err(|_| {
            format!("`{text}` is no format of weights; use q4k, q8, f16, f32 or stored")
        }),
    }
}
