//! Constraints that a text must keep to.

use std::fmt::Debug;

/// Says which tokens may come next, so that the text belongs to some language, such as JSON of a
/// schema.
///
/// It is asked about paths, the tokens generated so far with drafts behind them, and its answer
/// depends on the path alone; that the paths of neighbouring questions share most of their tokens
/// is what an implementation may make use of.
pub trait Constraint: Debug + Send + Sync {
    /// The tokens that may follow `path`, the turn's tokens after its prompt.
    ///
    /// # Errors
    /// When `path` is not of the language, or nothing may follow it and it may not end either, or
    /// the answer is too costly.
    fn allowed(&mut self, path: &[u32]) -> Result<&TokenMask, ConstraintFailed>;

    /// Whether `path` is complete: it may end, and nothing may follow it but the end.
    ///
    /// # Errors
    /// As [`allowed`](Self::allowed).
    fn is_complete(&mut self, path: &[u32]) -> Result<bool, ConstraintFailed>;

    /// A constraint of its own for another turn under the same rules.
    fn boxed_clone(&self) -> Box<dyn Constraint>;
}

impl Clone for Box<dyn Constraint> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}

/// A constraint that cannot go on; it ends the turn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text cannot be held to its grammar: {problem}; simplify the schema or the grammar")]
pub struct ConstraintFailed {
    /// What went wrong, in one line.
    pub problem: String,
}

/// A set of tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenMask {
    words: Vec<u32>,
}

impl TokenMask {
    /// The set given as bits, token 0 the lowest of the first word. Tokens beyond the words do not
    /// belong to it.
    #[must_use]
    pub fn from_words(words: Vec<u32>) -> Self {
        Self { words }
    }

    /// Adds a token.
    pub fn insert(&mut self, token: u32) {
        let index = (token / 32) as usize;
        if index >= self.words.len() {
            self.words.resize(index + 1, 0);
        }
        if let Some(word) = self.words.get_mut(index) {
            *word |= 1 << (token % 32);
        }
    }

    /// Removes a token.
    pub fn remove(&mut self, token: u32) {
        if let Some(word) = self.words.get_mut((token / 32) as usize) {
            *word &= !(1 << (token % 32));
        }
    }

    /// Whether a token belongs to the set.
    #[must_use]
    pub fn contains(&self, token: u32) -> bool {
        self.words.get((token / 32) as usize).is_some_and(|word| word >> (token % 32) & 1 == 1)
    }

    /// Whether there is no token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// Makes the logits of all other tokens NaN, which is never chosen, and one of the set that is
    /// NaN the least there is: so one of the set is chosen whatever the model says.
    pub(super) fn apply(&self, logits: &mut [f32]) {
        let mut words = self.words.iter();
        for chunk in logits.chunks_mut(32) {
            match words.next() {
                None | Some(0) => chunk.fill(f32::NAN),
                Some(&word) => {
                    for (bit, logit) in chunk.iter_mut().enumerate() {
                        *logit = if word >> bit & 1 == 0 {
                            f32::NAN
                        } else {
                            logit.max(f32::NEG_INFINITY)
                        };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_holds_what_was_put_in() {
        let mut mask = TokenMask::from_words(vec![0b101]);
        mask.insert(70);
        mask.remove(2);
        mask.remove(1000);
        let held: Vec<u32> = (0..128).filter(|&token| mask.contains(token)).collect();
        assert_eq!(held, [0, 70]);
        assert!(!mask.is_empty() && TokenMask::default().is_empty() && !mask.contains(u32::MAX));
    }

    #[test]
    fn only_the_allowed_keep_a_logit() {
        let mask = TokenMask::from_words(vec![0, 0b11]);
        let mut logits = vec![1.0; 100];
        logits[33] = f32::NAN;
        mask.apply(&mut logits);
        let numbers: Vec<(usize, f32)> =
            logits.into_iter().enumerate().filter(|(_, logit)| !logit.is_nan()).collect();
        assert_eq!(numbers, [(32, 1.0), (33, f32::NEG_INFINITY)]);
    }
}
