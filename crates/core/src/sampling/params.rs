//! Parameters of sampling, as a user gives them.

use std::collections::BTreeMap;

/// How tokens are chosen. The default is greedy, everything else off.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingOptions {
    /// Logits are divided by it; 0 takes the likeliest token always. Up to
    /// [`SamplingParams::MAX_TEMPERATURE`].
    pub temperature: f32,
    /// The seed of the noise.
    pub seed: u64,
    /// Only the likeliest tokens that together have at least this probability, above 0; 1 is off.
    pub top_p: f32,
    /// Only this many of the likeliest tokens, and those as likely as the last of them; 0 is off.
    pub top_k: usize,
    /// Only tokens with at least this share of the likeliest one's probability, 0 to 1; 0 is off.
    pub min_p: f32,
    /// Subtracted from the logit of every token generated so far, -2 to 2; 0 is off.
    pub presence_penalty: f32,
    /// Subtracted from a token's logit for each time it was generated so far, -2 to 2; 0 is off.
    pub frequency_penalty: f32,
    /// Divides the logits above 0, and multiplies those below, of the tokens in prompt and text so
    /// far, above 0; 1 is off.
    pub repetition_penalty: f32,
    /// Added to the logits of these tokens, -100 to 100; of several for one token the last counts.
    pub logit_bias: Vec<(u32, f32)>,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        SamplingParams::greedy().options
    }
}

/// Checked [`SamplingOptions`].
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingParams {
    options: SamplingOptions,
}

/// Reason why sampling parameters are refused.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum SamplingError {
    /// The temperature is negative, too high or no number.
    #[error(
        "temperature {0} is out of range; use 0 (always the likeliest token) to {max}",
        max = SamplingParams::MAX_TEMPERATURE
    )]
    Temperature(f32),
    /// `top_p` is no share of the probability.
    #[error("top_p {0} is out of range; use a number above 0, up to 1 (all tokens)")]
    TopP(f32),
    /// `min_p` is no share of a probability.
    #[error("min_p {0} is out of range; use 0 (all tokens) to 1")]
    MinP(f32),
    /// A penalty that is added is too great or no number.
    #[error("{field} {value} is out of range; use -2 to 2, 0 for none")]
    Penalty {
        /// `presence_penalty` or `frequency_penalty`.
        field: &'static str,
        /// What was given.
        value: f32,
    },
    /// The penalty that multiplies is too great, not above 0 or no number.
    #[error(
        "repetition_penalty {0} is out of range; use a number above 0, up to {max}, 1 for none",
        max = SamplingParams::MAX_REPETITION_PENALTY
    )]
    RepetitionPenalty(f32),
    /// A bias is too great or no number.
    #[error("logit_bias {bias} for token {token} is out of range; use -100 to 100")]
    LogitBias {
        /// The token.
        token: u32,
        /// What was given.
        bias: f32,
    },
    /// The model has no such token.
    #[error(
        "logit_bias names token {token}, but the model's tokens are 0 to {last}",
        last = vocab.saturating_sub(1)
    )]
    UnknownToken {
        /// The token.
        token: u32,
        /// Tokens of the model.
        vocab: usize,
    },
}

impl SamplingError {
    /// The field of [`SamplingOptions`] that is wrong.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Temperature(_) => "temperature",
            Self::TopP(_) => "top_p",
            Self::MinP(_) => "min_p",
            Self::Penalty { field, .. } => field,
            Self::RepetitionPenalty(_) => "repetition_penalty",
            Self::LogitBias { .. } | Self::UnknownToken { .. } => "logit_bias",
        }
    }
}

impl SamplingParams {
    /// The highest temperature accepted; text is noise long before.
    pub const MAX_TEMPERATURE: f32 = 10.0;

    /// The greatest repetition penalty accepted; a token that was there once cannot come again long
    /// before.
    pub const MAX_REPETITION_PENALTY: f32 = 100.0;

    /// Temperature and seed, everything else off. Temperature 0 means greedy: always the likeliest
    /// token, whatever the seed.
    ///
    /// # Errors
    /// When the temperature is not in `0 ..= MAX_TEMPERATURE`.
    pub fn new(temperature: f32, seed: u64) -> Result<Self, SamplingError> {
        Self::checked(SamplingOptions { temperature, seed, ..SamplingOptions::default() })
    }

    /// Checks and keeps the options, of the biases for one token the last.
    ///
    /// # Errors
    /// When one of them is out of its range.
    pub fn checked(mut options: SamplingOptions) -> Result<Self, SamplingError> {
        let SamplingOptions {
            temperature,
            top_p,
            min_p,
            presence_penalty,
            frequency_penalty,
            repetition_penalty,
            ..
        } = options;
        if !(0.0..=Self::MAX_TEMPERATURE).contains(&temperature) {
            return Err(SamplingError::Temperature(temperature));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(SamplingError::TopP(top_p));
        }
        if !(0.0..=1.0).contains(&min_p) {
            return Err(SamplingError::MinP(min_p));
        }
        for (field, value) in
            [("presence_penalty", presence_penalty), ("frequency_penalty", frequency_penalty)]
        {
            if !(-2.0..=2.0).contains(&value) {
                return Err(SamplingError::Penalty { field, value });
            }
        }
        if !(repetition_penalty > 0.0 && repetition_penalty <= Self::MAX_REPETITION_PENALTY) {
            return Err(SamplingError::RepetitionPenalty(repetition_penalty));
        }
        if let Some(&(token, bias)) =
            options.logit_bias.iter().find(|(_, bias)| !(-100.0..=100.0).contains(bias))
        {
            return Err(SamplingError::LogitBias { token, bias });
        }
        let last: BTreeMap<u32, f32> = options.logit_bias.into_iter().collect();
        options.logit_bias = last.into_iter().collect();
        Ok(Self { options })
    }

    /// Checks that a model of `vocab` tokens has every token that the options name.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn check_vocab(&self, vocab: usize) -> Result<(), SamplingError> {
        let unknown = self.options.logit_bias.iter().find(|&&(token, _)| token as usize >= vocab);
        unknown.map_or(Ok(()), |&(token, _)| Err(SamplingError::UnknownToken { token, vocab }))
    }

    /// Always the likeliest token.
    #[must_use]
    pub const fn greedy() -> Self {
        Self {
            options: SamplingOptions {
                temperature: 0.0,
                seed: 0,
                top_p: 1.0,
                top_k: 0,
                min_p: 0.0,
                presence_penalty: 0.0,
                frequency_penalty: 0.0,
                repetition_penalty: 1.0,
                logit_bias: Vec::new(),
            },
        }
    }

    /// The options.
    #[must_use]
    pub fn options(&self) -> &SamplingOptions {
        &self.options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked_and_the_field_is_named() {
        let with = |change: &dyn Fn(&mut SamplingOptions, f32), value| {
            let mut options = SamplingOptions::default();
            change(&mut options, value);
            SamplingParams::checked(options)
        };
        type Change = fn(&mut SamplingOptions, f32);
        let cases: [(&str, Change, [f32; 2], [f32; 3]); 7] = [
            ("temperature", |o, v| o.temperature = v, [0.0, 10.0], [-0.1, 10.1, f32::INFINITY]),
            ("top_p", |o, v| o.top_p = v, [0.01, 1.0], [0.0, -1.0, 1.1]),
            ("min_p", |o, v| o.min_p = v, [0.0, 1.0], [-0.1, 1.1, f32::INFINITY]),
            (
                "presence_penalty",
                |o, v| o.presence_penalty = v,
                [-2.0, 2.0],
                [-2.1, 2.1, f32::NEG_INFINITY],
            ),
            (
                "frequency_penalty",
                |o, v| o.frequency_penalty = v,
                [-2.0, 2.0],
                [-2.1, 2.1, f32::INFINITY],
            ),
            (
                "repetition_penalty",
                |o, v| o.repetition_penalty = v,
                [0.1, 100.0],
                [0.0, -1.0, f32::INFINITY],
            ),
            (
                "logit_bias",
                |o, v| o.logit_bias = vec![(3, v)],
                [-100.0, 100.0],
                [-101.0, 100.5, f32::INFINITY],
            ),
        ];
        for (field, change, good, bad) in cases {
            for value in good {
                assert!(with(&change, value).is_ok(), "{field} {value}");
            }
            for value in bad.into_iter().chain([f32::NAN]) {
                assert_eq!(
                    with(&change, value).map_err(|error| error.field()),
                    Err(field),
                    "{value}"
                );
            }
        }
    }

    #[test]
    fn biased_tokens_must_be_in_the_vocabulary() {
        let biased = SamplingParams {
            options: SamplingOptions {
                logit_bias: vec![(3, 1.0), (9, 1.0)],
                ..SamplingOptions::default()
            },
        };
        assert_eq!(biased.check_vocab(10), Ok(()));
        assert_eq!(biased.check_vocab(9), Err(SamplingError::UnknownToken { token: 9, vocab: 9 }));
    }
}
