//! Generation request: one text to generate.

use super::group::Group;
use crate::constraint::Grammar;
use std::time::Duration;
use tricorn_core::{ChunkPolicy, DraftPolicy, SamplingParams};

/// One text to generate.
#[derive(Clone, Debug)]
pub struct GenerationRequest {
    /// The whole conversation so far, in tokens.
    pub prompt: Vec<u32>,
    /// Most tokens to generate.
    pub max_new_tokens: usize,
    /// Sampling of tokens.
    pub sampling: SamplingParams,
    /// Grammar that the text is held to.
    pub grammar: Option<Grammar>,
    /// Log-probabilities of each token, with those of so many of the likeliest.
    pub logprobs: Option<usize>,
    /// Texts that end the generation where they begin; an empty one is ignored.
    pub stop: Vec<String>,
    /// Drafting. Has no influence on the text.
    pub draft: DraftPolicy,
    /// Chunks of the prompt's upload. Has no influence on the text.
    pub chunk: ChunkPolicy,
    /// Whether rounds are reported and samples of what crosses the wire are kept.
    pub trace: bool,
    /// The longest that it may take, the wait for a slot included; `None` for as long as it takes.
    pub deadline: Option<Duration>,
    /// The group that it is a part of; `None` for a group of its own. Slots that get free are
    /// shared out fairly between groups.
    pub group: Option<Group>,
}
