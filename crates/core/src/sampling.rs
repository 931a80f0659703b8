//! Sampling of a token from logits: a pure function of logits, parameters, seed, position, the
//! tokens before and the constraint.
//!
//! The token at position `p` is `argmax_t(logit_t / T + G(seed, p, t))` with standard Gumbel noise
//! `G` drawn by hashing, which is an exact draw from `softmax(logits / T)` (the Gumbel-max trick).
//! The drafter chooses from its own logits under the same noise, so that a draft is right with a
//! probability close to the best that any coupling reaches, and the text depends on the seed alone:
//! not on what was drafted, how much of it, or by whom (Daliri, Musco and Suresh 2024, arXiv
//! 2408.07978, "drafter-invariant" speculative decoding).
//!
//! Before that, in the order of vLLM's sampler: bias, then the repetition, frequency and presence
//! penalties, then the constraint's mask; after the temperature top-k, top-p and min-p, as in
//! transformers, choose what takes part in the draw.

mod candidates;
mod constraint;
mod filters;
mod guesses;
mod logprobs;
mod noise;
mod params;
mod penalties;
mod sampler;
mod softmax;
#[cfg(test)]
mod transformers;

pub use candidates::choose;
pub use constraint::{Constraint, ConstraintFailed, TokenMask};
pub use guesses::guesses;
pub use logprobs::{Logprobs, TokenLogprob};
pub use params::{SamplingError, SamplingOptions, SamplingParams};
pub use sampler::{Choice, Sampler};
pub use softmax::{argmax, confidence};
