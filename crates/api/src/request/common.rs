//! Common fields of both endpoints, but for those of sampling.

use super::{fields::Fields, sampling::Sampling};
use crate::{ApiError, Service};
use serde::Deserialize;
use tricorn_core::SamplingOptions;

/// The fields that both endpoints serve, but for those of sampling.
pub(super) const FIELDS: &[&str] =
    &["model", "n", "max_tokens", "stop", "stream", "stream_options", "tricorn"];

/// Most choices for a prompt.
const MAX_N: usize = 8;
/// Most stop texts.
const MAX_STOPS: usize = 4;
/// Most bytes of one.
const MAX_STOP_BYTES: usize = 1024;

/// What a request asks for beside its prompt.
#[derive(Debug)]
pub(crate) struct Common {
    /// Choices for each prompt.
    pub(crate) n: usize,
    /// Most tokens of a choice; `None` for as many as fit.
    pub(crate) max_tokens: Option<usize>,
    pub(crate) stop: Vec<String>,
    /// With the seed of the first choice.
    pub(crate) sampling: SamplingOptions,
    /// Answer as a stream of events.
    pub(crate) stream: bool,
    /// The stream's last event tells the tokens used.
    pub(crate) include_usage: bool,
    /// What goes over the wire is told, too.
    pub(crate) trace: bool,
}

#[derive(Deserialize)]
struct Wire {
    model: Option<String>,
    n: Option<usize>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    stop: Option<Stop>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    tricorn: Option<Trace>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string or an array of strings")]
enum Stop {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamOptions {
    include_usage: Option<bool>,
    /// Padding against an observer of the network, of which there is none on this machine: no
    /// effect.
    #[serde(rename = "include_obfuscation")]
    _include_obfuscation: Option<bool>,
}

/// The extension: what of the split is told beside the text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trace {
    /// Tokens, bytes and times with every chunk, and the whole picture at the end.
    pub(crate) trace: Option<bool>,
}

impl Common {
    pub(super) fn read(service: &Service, fields: &Fields) -> Result<Self, ApiError> {
        let wire: Wire = fields.read()?;
        let max_tokens = max_tokens(&wire, service.engine.parts().context)?;
        let model = wire.model.ok_or_else(|| {
            ApiError::coded(
                "missing_required_parameter",
                "model",
                "you must provide a model parameter",
            )
        })?;
        if model != service.config.model {
            return Err(ApiError::UnknownModel(model.chars().take(200).collect()));
        }
        let n = wire.n.unwrap_or(1);
        if !(1..=MAX_N).contains(&n) {
            return Err(ApiError::coded(
                "invalid_value",
                "n",
                format!("Invalid value for 'n': {n} is not between 1 and {MAX_N}."),
            ));
        }
        let stream = wire.stream.unwrap_or(false);
        if wire.stream_options.is_some() && !stream {
            let message =
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
            return Err(ApiError::field("stream_options", message));
        }
        let trace = wire.tricorn.and_then(|tricorn| tricorn.trace).unwrap_or(false);
        if trace && n > 1 {
            return Err(excluded("tricorn.trace", "'n' above 1"));
        }
        Ok(Self {
            n,
            max_tokens,
            stop: stops(wire.stop)?,
            sampling: fields.read::<Sampling>()?.options()?,
            stream,
            include_usage: wire
                .stream_options
                .and_then(|options| options.include_usage)
                .unwrap_or(false),
            trace,
        })
    }
}

fn max_tokens(wire: &Wire, context: usize) -> Result<Option<usize>, ApiError> {
    let (field, given) = match (wire.max_tokens, wire.max_completion_tokens) {
        (Some(_), Some(_)) => {
            let message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is \
                           not supported.";
            return Err(ApiError::field("max_tokens", message));
        }
        (None, given) => ("max_completion_tokens", given),
        (given, None) => ("max_tokens", given),
    };
    match given {
        Some(0) => Err(ApiError::coded(
            "integer_below_min_value",
            field,
            format!("Invalid '{field}': expected a value of at least 1."),
        )),
        Some(given) if given > context => {
            let message = format!(
                "{field} is too large: {given}. This model's context holds {context} tokens, \
                 prompt and completion together."
            );
            Err(ApiError::coded("invalid_value", field, message))
        }
        given => Ok(given),
    }
}

fn stops(stop: Option<Stop>) -> Result<Vec<String>, ApiError> {
    let stops = match stop {
        None => Vec::new(),
        Some(Stop::One(text)) => vec![text],
        Some(Stop::Several(texts)) => texts,
    };
    if stops.len() > MAX_STOPS {
        let message = format!(
            "Invalid 'stop': {} texts were given, and {MAX_STOPS} are allowed.",
            stops.len()
        );
        return Err(ApiError::coded("array_above_max_length", "stop", message));
    }
    if stops.iter().any(|stop| stop.is_empty() || stop.len() > MAX_STOP_BYTES) {
        let message =
            format!("Invalid 'stop': a text is empty or longer than {MAX_STOP_BYTES} bytes.");
        return Err(ApiError::coded("invalid_value", "stop", message));
    }
    Ok(stops)
}

/// The number of likeliest tokens to tell, checked against the most that `field` may ask for.
pub(super) fn top_logprobs(field: &str, top: usize, most: usize) -> Result<usize, ApiError> {
    if top > most {
        let message = format!("Invalid value for '{field}': {top} is not between 0 and {most}.");
        return Err(ApiError::coded("invalid_value", field, message));
    }
    Ok(top)
}

/// One of two fields asks for what the other excludes.
pub(super) fn excluded(param: &str, by: &str) -> ApiError {
    ApiError::coded(
        "unsupported_parameter",
        param,
        format!("Unsupported parameter: '{param}' cannot be used with {by}."),
    )
}
