//! The tokens that a request took.

use serde::Serialize;
use tricorn_device::engine::Finished;

/// `usage`, the sum over the choices; a prompt counts once however many choices it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: PromptTokens,
    completion_tokens_details: CompletionTokens,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct PromptTokens {
    /// Tokens that were neither computed nor uploaded again.
    cached_tokens: usize,
    audio_tokens: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct CompletionTokens {
    /// Drafts that the model agreed with.
    accepted_prediction_tokens: usize,
    /// Drafts that it did not; they are not part of the completion.
    rejected_prediction_tokens: usize,
    reasoning_tokens: usize,
    audio_tokens: usize,
}

impl Usage {
    /// Adds choice `index` of a request with `n` choices a prompt.
    pub(super) fn add(&mut self, index: usize, n: usize, finished: &Finished) {
        if index.is_multiple_of(n) {
            self.prompt_tokens += finished.prompt_tokens;
            self.prompt_tokens_details.cached_tokens += finished.cached_tokens;
        }
        self.completion_tokens += finished.completion_tokens;
        self.total_tokens = self.prompt_tokens + self.completion_tokens;
        let (stats, details) = (&finished.report.stats, &mut self.completion_tokens_details);
        details.accepted_prediction_tokens += stats.accepted;
        details.rejected_prediction_tokens += stats.drafted.saturating_sub(stats.accepted);
    }
}
