//! Verification rounds, played on what a drafter would draft from each row of a text.

use std::ops::Add;

use tricorn_core::DraftPolicy;

/// One draft.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Draft {
    pub(super) confidence: f32,
    pub(super) ends_text: bool,
}

/// The drafts of the round that begins at one row of a text, as far as any policy may go.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Chain {
    pub(super) drafts: Vec<Draft>,
    /// Number of them, from the first on, that the text agrees with.
    pub(super) agreeing: usize,
}

/// The chains on one text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text {
    /// For the rows from the one of the first generated token to the one before the last token.
    pub(super) chains: Vec<Chain>,
    /// Tokens that were still allowed when the model ended the text.
    pub(super) spare: usize,
}

/// Rounds of one policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rounds {
    pub(crate) rounds: usize,
    pub(crate) tokens: usize,
    pub(crate) drafted: usize,
}

impl Add for Rounds {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rounds: self.rounds + other.rounds,
            tokens: self.tokens + other.tokens,
            drafted: self.drafted + other.drafted,
        }
    }
}

impl Chain {
    /// Drafts accepted and made under a policy, at most `most`.
    fn play(&self, most: usize, policy: DraftPolicy) -> (usize, usize) {
        let stops = |draft: &Draft| !policy.stop.is_confident(draft.confidence) || draft.ends_text;
        let within = &self.drafts[..self.drafts.len().min(most)];
        let drafted = within.iter().position(stops).map_or(within.len(), |last| last + 1);
        (self.agreeing.min(drafted), drafted)
    }
}

impl Text {
    /// Plays [`tricorn_core::DeviceSession`]'s rounds: the first generated token comes with the
    /// prompt's answer, and the others in rounds of some drafts and the model's own token.
    pub(super) fn rounds(&self, policy: DraftPolicy) -> Rounds {
        let mut counts = Rounds { tokens: self.chains.len(), ..Rounds::default() };
        let mut at = 0;
        while at < self.chains.len() {
            let left = self.chains.len() - at;
            let (accepted, drafted) =
                self.chains[at].play(policy.max_len.min(left + self.spare - 1), policy);
            counts.rounds += 1;
            counts.drafted += drafted;
            at += (accepted + 1).min(left);
        }
        counts
    }
}
