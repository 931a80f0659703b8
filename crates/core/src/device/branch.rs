//! Branches: continuations drafted while a verification is out. One of them may be what the next
//! round would have drafted.

use super::{BranchAt, Draft, Guess};

/// A continuation: the drafts of a round up to some position, another token there, and drafts after
/// it.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// The position where it parts from the round's drafts.
    pub pos: usize,
    /// The token there.
    pub token: u32,
    /// The drafts after it, from `pos + 1` on.
    pub drafts: Vec<Draft>,
    /// How probable it was thought that the target takes this way, when the branch was chosen.
    pub weight: f64,
    /// No further drafts: the last one is in doubt, or ends the text.
    pub(super) closed: bool,
}

impl Branch {
    fn new(pos: usize, guess: Guess, reached: f64) -> Self {
        Self {
            pos,
            token: guess.token,
            drafts: Vec::new(),
            weight: reached * f64::from(guess.probability),
            closed: false,
        }
    }

    /// The position of its next draft.
    #[must_use]
    pub fn next_pos(&self) -> usize {
        self.pos + 1 + self.drafts.len()
    }

    /// The token whose row the next draft is made from, at [`next_pos`](Self::next_pos)` - 1`.
    #[must_use]
    pub fn last_token(&self) -> u32 {
        self.drafts.last().map_or(self.token, |draft| draft.token)
    }
}

/// The `most` likeliest ways to leave a round's `drafts`, the first of which is at position
/// `first`: at a draft, by another token of the drafter's, or after the last, by one of `bonus`. A
/// way's weight is the probability that all drafts before it are accepted, by `accepted`, times its
/// token's. Tokens that `ends` says end the text lead nowhere.
pub(super) fn choose_branches(
    first: usize,
    drafts: &[Draft],
    bonus: Vec<Guess>,
    at: BranchAt,
    most: usize,
    accepted: impl Fn(&Draft) -> f64,
    ends: impl Fn(u32) -> bool,
) -> Vec<Branch> {
    let mut reached = 1.0;
    let mut branches = Vec::new();
    for (pos, draft) in (first..).zip(drafts) {
        if at == BranchAt::Anywhere {
            branches.extend(
                draft
                    .others
                    .iter()
                    .filter(|guess| guess.token != draft.token)
                    .map(|&guess| Branch::new(pos, guess, reached)),
            );
        }
        reached *= accepted(draft);
    }
    branches
        .extend(bonus.into_iter().map(|guess| Branch::new(first + drafts.len(), guess, reached)));
    branches.retain(|branch| branch.weight > 0.0 && !ends(branch.token));
    branches.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    branches.truncate(most);
    branches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(token: u32, probability: f32) -> Guess {
        Guess { token, probability }
    }

    fn chosen(at: BranchAt, most: usize) -> Vec<(usize, u32)> {
        let drafts = [
            Draft {
                token: 1,
                confidence: 0.5,
                others: vec![guess(1, 0.5), guess(2, 0.3), guess(3, 0.1)],
                ends: false,
            },
            Draft { token: 4, confidence: 0.8, others: vec![guess(5, 0.15)], ends: false },
        ];
        let bonus = vec![guess(6, 0.5), guess(9, 0.45), guess(7, 0.05)];
        let branches = choose_branches(
            10,
            &drafts,
            bonus,
            at,
            most,
            |draft| f64::from(draft.confidence),
            |token| token == 9,
        );
        branches.iter().map(|branch| (branch.pos, branch.token)).collect()
    }

    #[test]
    fn the_likeliest_ways_are_taken() {
        // 0.3 and 0.1 at the first draft; 0.5 x 0.15 at the second; 0.4 x 0.5 and 0.4 x 0.05 after
        // it.
        assert_eq!(chosen(BranchAt::Anywhere, 4), [(10, 2), (12, 6), (10, 3), (11, 5)]);
        assert_eq!(
            chosen(BranchAt::Anywhere, 8).len(),
            5,
            "9 ends the text, and 1 is the draft itself"
        );
        assert_eq!(chosen(BranchAt::Bonus, 4), [(12, 6), (12, 7)]);
    }
}
