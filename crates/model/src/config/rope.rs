//! Rotary position parameters, in the spellings of transformers 4 and 5.

use super::{MAX_CONTEXT, fields::Fields};
use crate::error::ModelError;

/// Rotary position embedding (Su et al. 2021, arXiv 2104.09864).
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the frequencies `theta^(-2i / head_dim)`.
    pub theta: f32,
    /// How the frequencies are stretched for longer contexts.
    pub scaling: RopeScaling,
}

/// Stretching of the rotary frequencies.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// As trained.
    None,
    /// Every frequency divided by `factor`.
    Linear {
        /// The divisor.
        factor: f32,
    },
    /// Llama 3: long wavelengths divided by `factor`, short ones kept, a linear blend between.
    Llama3 {
        /// The divisor.
        factor: f32,
        /// Wavelengths above `original_context / low_freq_factor` are divided.
        low_freq_factor: f32,
        /// Wavelengths below `original_context / high_freq_factor` are kept.
        high_freq_factor: f32,
        /// Positions before stretching.
        original_context: usize,
    },
    /// Every pair of dimensions has a divisor of its own (transformers' `longrope` with equal
    /// factors at every length; GGUF's `rope_freqs`).
    PerPair {
        /// The divisors, one for each of the `head_dim / 2` frequencies.
        divisors: Vec<f32>,
    },
}

const DEFAULT_THETA: f64 = 10_000.0;

impl Rope {
    /// Whether there is an angle for every pair of dimensions of heads `head_dim` wide.
    pub(crate) fn covers(&self, head_dim: usize) -> bool {
        let pairs = match &self.scaling {
            RopeScaling::PerPair { divisors } => divisors.len(),
            RopeScaling::None | RopeScaling::Linear { .. } | RopeScaling::Llama3 { .. } => {
                head_dim / 2
            }
        };
        head_dim.is_multiple_of(2) && pairs >= head_dim / 2
    }

    /// `rope_parameters` (transformers 5) holds what `rope_theta` and `rope_scaling`
    /// (transformers 4) held; a file may carry both.
    pub(super) fn parse(fields: &Fields, context: usize) -> Result<Self, ModelError> {
        let parameters = match fields.object("rope_parameters")? {
            Some(parameters) => Some(parameters),
            None => fields.object("rope_scaling")?,
        };
        if fields.number("partial_rotary_factor")?.is_some_and(|factor| factor != 1.0) {
            return Err(unsupported(fields, "partial_rotary_factor other than 1"));
        }
        let inner_theta = match &parameters {
            Some(parameters) => positive(parameters, "rope_theta")?,
            None => None,
        };
        let theta = match inner_theta {
            Some(theta) => theta,
            None => positive(fields, "rope_theta")?.unwrap_or(DEFAULT_THETA),
        };
        let scaling = match &parameters {
            Some(parameters) => scaling(parameters, context)?,
            None => RopeScaling::None,
        };
        Ok(Self { theta: theta as f32, scaling })
    }

    /// Checks that there is a divisor for each pair of a head's dimensions, where there are any.
    ///
    /// # Errors
    /// What is wrong with the field `long_factor`.
    pub(super) fn check(&self, head_dim: usize) -> Result<(), String> {
        match &self.scaling {
            RopeScaling::PerPair { divisors } if divisors.len() != head_dim / 2 => Err(format!(
                "has {} numbers; heads of {head_dim} need {}",
                divisors.len(),
                head_dim / 2
            )),
            _ => Ok(()),
        }
    }
}

fn scaling(parameters: &Fields, context: usize) -> Result<RopeScaling, ModelError> {
    if parameters.has("full_attention") || parameters.has("sliding_attention") {
        return Err(unsupported(parameters, "rope_parameters per kind of layer"));
    }
    if parameters.number("partial_rotary_factor")?.is_some_and(|factor| factor != 1.0) {
        return Err(unsupported(parameters, "partial_rotary_factor other than 1"));
    }
    let kind = match parameters.text("rope_type")? {
        Some(kind) => Some(kind),
        None => parameters.text("type")?,
    };
    match kind {
        None | Some("default") => Ok(RopeScaling::None),
        Some("linear") => Ok(RopeScaling::Linear { factor: required(parameters, "factor")? }),
        Some("llama3") => llama3(parameters, context),
        Some("longrope") => per_pair(parameters),
        Some(other) => Err(unsupported(parameters, &format!("the rope type {other}"))),
    }
}

fn llama3(parameters: &Fields, context: usize) -> Result<RopeScaling, ModelError> {
    let low_freq_factor = required(parameters, "low_freq_factor")?;
    let high_freq_factor = required(parameters, "high_freq_factor")?;
    if high_freq_factor <= low_freq_factor {
        let problem =
            format!("is {high_freq_factor}; it must be above low_freq_factor {low_freq_factor}");
        return Err(parameters.bad("high_freq_factor", &problem));
    }
    Ok(RopeScaling::Llama3 {
        factor: required(parameters, "factor")?,
        low_freq_factor,
        high_freq_factor,
        original_context: parameters
            .optional_size("original_max_position_embeddings", MAX_CONTEXT)?
            .unwrap_or(context),
    })
}

fn per_pair(parameters: &Fields) -> Result<RopeScaling, ModelError> {
    let (short, long) = (parameters.numbers("short_factor")?, parameters.numbers("long_factor")?);
    let divisors = long.ok_or_else(|| parameters.bad("long_factor", "is missing"))?;
    if short.is_some_and(|short| short != divisors)
        || parameters.number("attention_factor")? != Some(1.0)
    {
        return Err(unsupported(
            parameters,
            "the rope type longrope with factors that depend on the length",
        ));
    }
    match divisors.iter().find(|divisor| !(1e-6..=1e18).contains(*divisor)) {
        Some(divisor) => {
            Err(parameters
                .bad("long_factor", &format!("has {divisor}; all must be positive numbers")))
        }
        None => Ok(RopeScaling::PerPair {
            divisors: divisors.into_iter().map(|divisor| divisor as f32).collect(),
        }),
    }
}

fn required(parameters: &Fields, field: &str) -> Result<f32, ModelError> {
    positive(parameters, field)?
        .map(|value| value as f32)
        .ok_or_else(|| parameters.bad(field, "is missing"))
}

/// A number that stays positive and finite as `f32`.
fn positive(fields: &Fields, field: &str) -> Result<Option<f64>, ModelError> {
    match fields.number(field)? {
        Some(value) if !(1e-6..=1e18).contains(&value) => {
            Err(fields.bad(field, &format!("is {value}; it must be a positive number")))
        }
        value => Ok(value),
    }
}

fn unsupported(fields: &Fields, what: &str) -> ModelError {
    ModelError::Unsupported {
        what: format!("{}: {what}", fields.file()),
        mend: "use a model with default, linear or llama3 rotary positions",
    }
}
