//! Draft policy: when drafting stops, what of a round is sent when, and what is drafted while the
//! cloud verifies.

/// Bounds on the drafts of one verification round (HAT, arXiv 2503.18989). None of them has an
/// influence on the text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DraftPolicy {
    /// Most drafts in a round; 0 turns drafting off.
    pub max_len: usize,
    /// Which draft is a round's last.
    pub stop: DraftStop,
    /// Whether a round's rows are sent one by one, as they come to be.
    pub stream: Streaming,
    /// Most continuations drafted while a verification is out; 0 for none. More than
    /// [`DraftPolicy::MAX_PARALLEL`] counts as that.
    pub parallel: usize,
    /// Where such continuations may part from the round's drafts.
    pub branch: BranchAt,
}

/// Rule for a round's last draft.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DraftStop {
    /// The first whose confidence (the drafter's greatest probability) is below this.
    Threshold(f32),
    /// The first after which one more would cost more time than it is expected to save, by what was
    /// measured of drafts, link and cloud.
    Expected {
        /// The threshold that counts until enough has been measured.
        until_known: f32,
    },
}

/// Sending of a round's rows one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Streaming {
    /// All together, once the last is drafted.
    #[default]
    Never,
    /// One by one where measurements say that it saves time.
    Auto,
    /// One by one.
    Always,
}

/// Positions where continuations may part from the round's drafts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BranchAt {
    /// After the last draft only, as in HAT.
    Bonus,
    /// At every draft, and after the last.
    #[default]
    Anywhere,
}

impl DraftPolicy {
    /// No drafts: one token a round.
    pub const OFF: Self = Self::up_to(0, 0.0);

    /// The greatest number of continuations at a time.
    pub const MAX_PARALLEL: usize = 8;

    /// At most `max_len` drafts, the last one the first whose confidence is below `threshold`; all
    /// sent together, none in parallel.
    #[must_use]
    pub const fn up_to(max_len: usize, threshold: f32) -> Self {
        Self {
            max_len,
            stop: DraftStop::Threshold(threshold),
            stream: Streaming::Never,
            parallel: 0,
            branch: BranchAt::Anywhere,
        }
    }

    /// Likeliest tokens that the drafter names at each draft: one more than continuations, since
    /// the draft itself is among them; 0 without continuations.
    #[must_use]
    pub fn alternatives(&self) -> usize {
        if self.parallel > 0 { self.parallel.min(Self::MAX_PARALLEL) + 1 } else { 0 }
    }
}

impl Default for DraftPolicy {
    /// At most 8 drafts, threshold 0.6 as in HAT. The 6 of Kangaroo cost the `fused` drafter of the
    /// demo model a tenth of what it gains (3.90 tokens a round in place of 4.26).
    fn default() -> Self {
        Self::up_to(8, 0.6)
    }
}

impl DraftStop {
    /// The confidence below which a draft is the last, whatever is measured. Without measurements
    /// that is all there is to it.
    #[must_use]
    pub fn threshold(self) -> f32 {
        match self {
            Self::Threshold(threshold) | Self::Expected { until_known: threshold } => threshold,
        }
    }

    /// Whether drafting goes on after a draft of this confidence when nothing has been measured.
    /// NaN stops it.
    #[must_use]
    pub fn is_confident(self, confidence: f32) -> bool {
        confidence >= self.threshold()
    }
}

/// A drafted token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// The token.
    pub token: u32,
    /// The drafter's greatest probability there.
    pub confidence: f32,
    /// What else the drafter holds possible at this position, likeliest first; needed for parallel
    /// drafting only.
    pub others: Vec<Guess>,
    /// No token can follow it: what the text is held to has no longer one.
    pub ends: bool,
}

/// A token that the drafter holds possible.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// The token.
    pub token: u32,
    /// How probable it is thought to be, 0 to 1.
    pub probability: f32,
}

impl Draft {
    /// A draft without alternatives.
    #[must_use]
    pub fn new(token: u32, confidence: f32) -> Self {
        Self { token, confidence, others: Vec::new(), ends: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_stops() {
        let stop = DraftPolicy::default().stop;
        assert!(stop.is_confident(0.6));
        assert!(!stop.is_confident(0.59) && !stop.is_confident(f32::NAN));
    }
}
