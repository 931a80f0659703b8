//! Judging: the target's tokens, chosen from an answer's logits and compared with the drafts.

use crate::{error::DeviceError, turn::Event};
use tricorn_core::{Choice, DeviceSession, Judgement, Sampler};

/// An answer's tokens.
pub(super) struct Verdict {
    /// The tokens confirmed, in order.
    pub(super) tokens: Vec<Event>,
    /// The round is over, and goes on with this continuation, if any.
    pub(super) settled: Option<Option<usize>>,
}

/// Confirms one token of the target's for each row of `logits`, up to where the round is over.
pub(super) fn judge<'l>(
    session: &mut DeviceSession,
    sampler: &mut Sampler,
    logits: impl Iterator<Item = &'l mut [f32]>,
) -> Result<Verdict, DeviceError> {
    let drafts = session.drafts().to_vec();
    let mut tokens = Vec::new();
    for logits in logits {
        let Choice { token, ends, logprobs } = sampler.choose(logits, session.generated())?;
        let drafted = drafts.get(tokens.len()) == Some(&token);
        tokens.push(Event::Token { id: token, drafted, logprobs });
        match if ends { session.judge_last(token) } else { session.judge(token) } {
            Judgement::Accepted => {}
            Judgement::Pending => break,
            Judgement::Settled { branch } => return Ok(Verdict { tokens, settled: Some(branch) }),
        }
    }
    Ok(Verdict { tokens, settled: None })
}
