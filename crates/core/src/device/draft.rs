//! When drafting stops.

/// Bounds on the drafts of one verification round (HAT, arXiv 2503.18989).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DraftPolicy {
    /// Most drafts in a round; 0 turns drafting off.
    pub max_len: usize,
    /// A draft whose confidence (the drafter's greatest probability) is below this is the round's last.
    pub threshold: f32,
}

impl DraftPolicy {
    /// No drafts: one token a round.
    pub const OFF: Self = Self { max_len: 0, threshold: 0.0 };

    /// Whether drafting goes on after a draft of this confidence. NaN stops it.
    #[must_use]
    pub fn is_confident(&self, confidence: f32) -> bool {
        confidence >= self.threshold
    }
}

impl Default for DraftPolicy {
    /// At most 6 drafts, threshold 0.6.
    fn default() -> Self {
        Self { max_len: 6, threshold: 0.6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_stops() {
        let policy = DraftPolicy::default();
        assert!(policy.is_confident(0.6));
        assert!(!policy.is_confident(0.59) && !policy.is_confident(f32::NAN));
    }
}
