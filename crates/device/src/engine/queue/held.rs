//! Held tokens: those of a slot's conversation, and how well a prompt goes on with them.

/// The tokens of a slot's conversation.
///
/// A prompt is compared with them token by token, and brings its own tokens for the answers it
/// repeats: what a request is answered does not depend on which slot takes it, or on what was asked
/// before.
#[derive(Debug, Default)]
pub(in crate::engine) struct Held {
    tokens: Vec<u32>,
    /// The last turn's begin; 0 where it goes on with none.
    begun: usize,
    /// Its answer's begin.
    asked: usize,
}

/// Fit of a prompt to what a slot holds, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Fit {
    /// Tokens that both begin with.
    pub(in crate::engine) shared: usize,
    /// Tokens that the slot holds beyond.
    pub(in crate::engine) lost: usize,
    /// Whether the prompt is the conversation's next, or another try at its last turn.
    pub(in crate::engine) goes_on: bool,
}

impl Held {
    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The fit of `prompt`.
    pub(in crate::engine) fn fit(&self, prompt: &[u32]) -> Fit {
        let shared = self.tokens.iter().zip(prompt).take_while(|(held, new)| held == new).count();
        Fit {
            shared,
            lost: self.tokens.len() - shared,
            goes_on: self.is_next(shared) || self.is_retry(shared),
        }
    }

    /// The tokens held after `prompt` was answered; `tokens` are those of the whole
    /// conversation.
    pub(in crate::engine) fn after(&self, prompt: &[u32], tokens: &[u32]) -> Self {
        let shared = self.fit(prompt).shared;
        let begun = if self.is_next(shared) {
            shared
        } else if self.is_retry(shared) {
            self.begun
        } else {
            0
        };
        Self { tokens: tokens.to_vec(), begun, asked: prompt.len() }
    }

    fn is_next(&self, shared: usize) -> bool {
        !self.is_empty() && shared >= self.asked
    }

    fn is_retry(&self, shared: usize) -> bool {
        self.begun > 0 && shared >= self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(held: &Held, prompt: &[u32], answer: &[u32]) -> Held {
        held.after(prompt, &[prompt, answer].concat())
    }

    fn fit(shared: usize, lost: usize, goes_on: bool) -> Fit {
        Fit { shared, lost, goes_on }
    }

    #[test]
    fn the_next_turn_goes_on_also_where_the_answer_is_cut_into_other_tokens() {
        let held = answered(&Held::default(), &[1, 2, 3], &[4, 5, 6]);
        assert_eq!(held.fit(&[1, 2, 3, 4, 5, 6, 7, 8]), fit(6, 0, true));
        assert_eq!(held.fit(&[1, 2, 3, 4, 56, 7, 8]), fit(4, 2, true));
        assert_eq!(held.fit(&[1, 2, 3]), fit(3, 3, true), "the same again");
    }

    #[test]
    fn another_try_at_the_last_turn_goes_on() {
        let first = answered(&Held::default(), &[1, 2, 3], &[4, 5]);
        let second = answered(&first, &[1, 2, 3, 4, 5, 6, 7], &[8]);
        assert_eq!(second.fit(&[1, 2, 3, 4, 5, 9]), fit(5, 3, true));
        let again = answered(&second, &[1, 2, 3, 4, 5, 9], &[10]);
        assert_eq!(again.fit(&[1, 2, 3, 4, 5, 11]), fit(5, 2, true), "and again");
        assert_eq!(again.fit(&[1, 2, 3, 4, 11]), fit(4, 3, false), "but no turn before it");
    }

    #[test]
    fn a_beginning_that_all_share_is_no_conversation() {
        let system = [1, 2, 3, 4];
        let one = answered(&Held::default(), &[&system[..], &[5, 6]].concat(), &[7]);
        let other = [&system[..], &[8, 9]].concat();
        assert_eq!(one.fit(&other), fit(4, 3, false));
        // Nor is it when a second conversation took the first one's place.
        let two = answered(&one, &other, &[7]);
        assert_eq!(two.fit(&[&system[..], &[10]].concat()), fit(4, 3, false));
        assert_eq!(Held::default().fit(&system), fit(0, 0, false));
    }
}
