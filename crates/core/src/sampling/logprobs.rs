//! Log-probabilities, for those who want to know how sure the model was.

/// A token and its log-probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenLogprob {
    /// The token.
    pub id: u32,
    /// The natural logarithm of its probability; negative infinity where it has none.
    pub logprob: f32,
}

/// What the model itself held of a position: of `softmax(logits)` before temperature, bias,
/// penalties, filters and constraint.
#[derive(Clone, Debug, PartialEq)]
pub struct Logprobs {
    /// The log-probability of the token that was chosen.
    pub chosen: f32,
    /// The likeliest tokens, likeliest first.
    pub top: Vec<TokenLogprob>,
}

/// The model's logits at a position, as its log-probabilities.
#[derive(Debug)]
pub(super) struct RawLogprobs {
    logits: Vec<f32>,
    max: f64,
    /// `ln(sum(exp(logit - max)))`.
    log_sum: f64,
}

impl RawLogprobs {
    pub(super) fn new(logits: &[f32]) -> Self {
        let max = f64::from(super::softmax::greatest(logits));
        let sum: f64 = logits
            .iter()
            .filter(|logit| !logit.is_nan())
            .map(|&logit| (f64::from(logit) - max).exp())
            .sum();
        Self { logits: logits.to_vec(), max, log_sum: sum.ln() }
    }

    /// The probability of `token`, and the `top` likeliest tokens with theirs.
    pub(super) fn of(&self, token: u32, top: usize) -> Logprobs {
        let logprob = |logit: f32| {
            let logprob = (f64::from(logit) - self.max - self.log_sum) as f32;
            // NaN is no choice, and infinities have no probabilities to tell.
            if logprob.is_nan() { f32::NEG_INFINITY } else { logprob }
        };
        let head = super::guesses::greatest(&self.logits, top);
        Logprobs {
            chosen: self
                .logits
                .get(token as usize)
                .map_or(f32::NEG_INFINITY, |&logit| logprob(logit)),
            top: head
                .into_iter()
                .map(|(id, logit)| TokenLogprob { id, logprob: logprob(logit) })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logprobs_are_those_of_the_softmax() {
        let raw = RawLogprobs::new(&[0.0, 2.0_f32.ln(), f32::NAN, 5.0_f32.ln()]);
        let Logprobs { chosen, top } = raw.of(1, 2);
        assert!((chosen - 0.25_f32.ln()).abs() < 1e-6);
        assert_eq!(top.iter().map(|token| token.id).collect::<Vec<_>>(), [3, 1]);
        assert!((top[0].logprob - 0.625_f32.ln()).abs() < 1e-6);
        assert_eq!(raw.of(2, 0), Logprobs { chosen: f32::NEG_INFINITY, top: Vec::new() });
        assert_eq!(raw.of(9, 9).top.len(), 3);
    }

    #[test]
    fn great_logits_do_not_overflow() {
        let raw = RawLogprobs::new(&[1e30, 1e30, -1e30]);
        assert!((raw.of(0, 0).chosen - 0.5_f32.ln()).abs() < 1e-6);
        assert!(raw.of(2, 0).chosen < -1e29);
    }
}
