//! Sampling: the fields that both endpoints share.

use crate::{ApiError, identity};
use serde::Deserialize;
use std::collections::BTreeMap;
use tricorn_core::{SamplingOptions, SamplingParams};

/// The fields of sampling.
pub(super) const FIELDS: &[&str] = &[
    "seed",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "logit_bias",
];

/// The highest temperature that OpenAI's API takes.
const MAX_TEMPERATURE: f32 = 2.0;

/// Most tokens that a request may bias.
const MAX_BIASES: usize = 1024;

/// The fields as they are sent. `top_k`, `min_p` and `repetition_penalty` are extensions, named as
/// in vLLM and transformers.
#[derive(Deserialize)]
pub(super) struct Sampling {
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<i64>,
    min_p: Option<f32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    repetition_penalty: Option<f32>,
    logit_bias: Option<BTreeMap<String, f32>>,
    seed: Option<i64>,
}

impl Sampling {
    /// With OpenAI's defaults, checked. A request without a seed gets a random one.
    pub(super) fn options(self) -> Result<SamplingOptions, ApiError> {
        let temperature = self.temperature.unwrap_or(1.0);
        if temperature > MAX_TEMPERATURE {
            let message = format!(
                "Invalid 'temperature': {temperature} is above the maximum of {MAX_TEMPERATURE}."
            );
            return Err(ApiError::coded("decimal_above_max_value", "temperature", message));
        }
        let options = SamplingOptions {
            temperature,
            seed: self.seed.map_or_else(identity::random, i64::cast_unsigned),
            top_p: self.top_p.unwrap_or(1.0),
            top_k: top_k(self.top_k)?,
            min_p: self.min_p.unwrap_or(0.0),
            presence_penalty: self.presence_penalty.unwrap_or(0.0),
            frequency_penalty: self.frequency_penalty.unwrap_or(0.0),
            repetition_penalty: self.repetition_penalty.unwrap_or(1.0),
            logit_bias: logit_bias(self.logit_bias.unwrap_or_default())?,
        };
        checked(options.clone())?;
        Ok(options)
    }
}

/// Options that the engine takes.
pub(crate) fn checked(options: SamplingOptions) -> Result<SamplingParams, ApiError> {
    SamplingParams::checked(options).map_err(|error| {
        ApiError::coded("invalid_value", error.field(), format!("Invalid value: {error}"))
    })
}

/// -1 and 0 are off, as in vLLM.
fn top_k(given: Option<i64>) -> Result<usize, ApiError> {
    match given.unwrap_or(0) {
        -1 => Ok(0),
        given => usize::try_from(given).map_err(|_| {
            ApiError::coded(
                "invalid_value",
                "top_k",
                format!("Invalid 'top_k': {given}; use a count of tokens, or 0 for all."),
            )
        }),
    }
}

fn logit_bias(given: BTreeMap<String, f32>) -> Result<Vec<(u32, f32)>, ApiError> {
    let invalid = |message: String| ApiError::coded("invalid_value", "logit_bias", message);
    if given.len() > MAX_BIASES {
        return Err(invalid(format!(
            "Invalid 'logit_bias': {} tokens are given, and {MAX_BIASES} are allowed.",
            given.len()
        )));
    }
    let mut biases = BTreeMap::new();
    for (id, bias) in given {
        let token = id.parse().map_err(|_| {
            invalid(
                "Invalid key in 'logit_bias'. You should be submitting only integer token ids, as \
                 strings."
                    .to_owned(),
            )
        })?;
        // Such as `1` and `01`.
        if biases.insert(token, bias).is_some() {
            return Err(invalid(format!(
                "Invalid 'logit_bias': token {token} is given twice; give each token once."
            )));
        }
    }
    Ok(biases.into_iter().collect())
}
