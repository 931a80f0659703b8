//! The flags that change the text.

use clap::Args as ClapArgs;
use std::path::PathBuf;
use tricorn_core::{SamplingError, SamplingOptions, SamplingParams};

/// How tokens are chosen, and what the text must look like.
#[derive(Debug, ClapArgs)]
pub(crate) struct SamplingArgs {
    /// Randomness, 0 to 10: 0 takes the likeliest token, 1 samples as the model was trained
    #[arg(long, value_name = "T", default_value_t = 0.0, allow_negative_numbers = true)]
    temperature: f32,
    /// Seed of the sampling; the same seed gives the same text in every mode
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Sample among the likeliest tokens that together have this probability; 1 for all
    #[arg(long, value_name = "P", default_value_t = 1.0, allow_negative_numbers = true)]
    top_p: f32,
    /// Sample among so many of the likeliest tokens; 0 for all
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Sample among tokens with at least this share of the likeliest one's probability; 0 for all
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_negative_numbers = true)]
    min_p: f32,
    /// Subtracted from the logits of tokens generated before, -2 to 2
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    presence_penalty: f32,
    /// Subtracted from a token's logit for each time it was generated before, -2 to 2
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    frequency_penalty: f32,
    /// Makes tokens of prompt and text less likely, above 1; 1 for no penalty
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true)]
    repetition_penalty: f32,
    /// Answer with JSON that the JSON schema in this file describes
    #[arg(long, value_name = "FILE")]
    pub(crate) json_schema: Option<PathBuf>,
}

impl SamplingArgs {
    pub(crate) fn params(&self) -> Result<SamplingParams, SamplingError> {
        SamplingParams::checked(SamplingOptions {
            temperature: self.temperature,
            seed: self.seed,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            repetition_penalty: self.repetition_penalty,
            logit_bias: Vec::new(),
        })
    }
}
