//! The reference: the whole model's text in one process, which every mode must write.

use std::{fmt, ops::ControlFlow, sync::Arc};

use serde::Serialize;
use tricorn_core::{ChunkPolicy, DraftPolicy, SamplingParams};
use tricorn_device::{Conversation, LocalTransport, Turn};

use crate::{error::BenchError, fleet::Setup, run::Stop, workload::Prompt};

/// A text that is not the reference's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// The mode that wrote it.
    pub mode: String,
    /// The load it was written under.
    pub load: String,
    /// Number of the request.
    pub request: usize,
    /// Index of the first generated token that differs.
    pub at: usize,
    /// The reference's token; none where its text is over.
    pub expected: Option<u32>,
    /// The mode's token; none where its text is over.
    pub got: Option<u32>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token =
            |token: Option<u32>| token.map_or("the end".to_owned(), |token| token.to_string());
        let Self { mode, load, request, at, expected, got } = self;
        write!(
            f,
            "mode {mode}, load {load}, request {request}, token {at}: {} in place of {}",
            token(*got),
            token(*expected)
        )
    }
}

/// The whole model's greedy tokens after `prompt`; none when the run is stopped.
///
/// # Errors
/// When the model fails.
pub(crate) fn reference(
    setup: &Setup,
    prompt: &Prompt,
    max_new_tokens: usize,
    stop: &Stop,
) -> Result<Option<Vec<u32>>, BenchError> {
    let parts = setup.plain();
    let mut conversation = Conversation::open(
        parts,
        LocalTransport::new(Arc::clone(&setup.middle), parts.context, parts.codec)
            .with_kv(setup.cloud.kv),
    )?;
    let turn = Turn {
        tokens: prompt.to_vec(),
        max_new_tokens,
        sampling: SamplingParams::greedy(),
        constraint: None,
        logprobs: None,
        draft: DraftPolicy::OFF,
        chunk: ChunkPolicy::Whole,
    };
    let report = conversation.turn(turn, &mut |_| {
        if stop.is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok((!stop.is_asked()).then_some(report.token_ids))
}

/// The first difference between two texts: its index and both tokens.
pub(crate) fn difference(
    expected: &[u32],
    got: &[u32],
) -> Option<(usize, Option<u32>, Option<u32>)> {
    let at = (0..expected.len().max(got.len())).find(|&at| expected.get(at) != got.get(at))?;
    Some((at, expected.get(at).copied(), got.get(at).copied()))
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn a_shorter_text_differs_where_it_ends() {
        assert_eq!(difference(&[1, 2, 3], &[1, 2, 3]), None);
        assert_eq!(difference(&[1, 2, 3], &[1, 4, 3]), Some((1, Some(2), Some(4))));
        assert_eq!(difference(&[1, 2], &[1, 2, 3]), Some((2, None, Some(3))));
        assert_eq!(difference(&[1], &[]), Some((0, Some(1), None)));
    }
}
