//! Take-in: the pieces in which a drafter takes in a prompt's rows.

use std::ops::Range;

/// Rows of a prompt that a drafter takes in at a time: an answer that comes meanwhile waits for no
/// longer than these take.
const PIECE: usize = 32;

/// The end of what was sent of a turn's prompt. The drafter takes in the rows below: whatever is
/// not sent yet goes first.
#[derive(Clone, Copy, Debug, Default)]
pub struct TakeIn {
    sent: usize,
}

impl TakeIn {
    /// The prompt was sent up to row `end`. Rows of drafts do not count: they are taken in as
    /// drafting goes on.
    pub fn sent(&mut self, end: usize) {
        self.sent = end;
    }

    /// The rows to take in next, by a drafter that has taken in those below `taken`, of the rows
    /// that the device holds; `None` where there are none. A replay that was cut short has computed
    /// some rows anew and not yet the rest: a piece is taken in whole or not at all.
    #[must_use]
    pub fn piece(&self, taken: usize, held: Range<usize>) -> Option<Range<usize>> {
        let piece = taken..self.sent.min(taken + PIECE);
        let whole = held.start <= piece.start && piece.end <= held.end;
        (whole && !piece.is_empty()).then_some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_taken_in_piece_by_piece_as_far_as_it_was_sent() {
        let mut take_in = TakeIn::default();
        assert_eq!(take_in.piece(0, 0..100), None);
        take_in.sent(40);
        assert_eq!(take_in.piece(0, 0..100), Some(0..32));
        assert_eq!(take_in.piece(32, 0..100), Some(32..40));
        assert_eq!(take_in.piece(40, 0..100), None);
        assert_eq!(take_in.piece(50, 0..100), None);
    }

    #[test]
    fn a_piece_that_is_not_held_whole_is_not_taken_in() {
        let mut take_in = TakeIn::default();
        take_in.sent(40);
        assert_eq!(take_in.piece(0, 0..20), None);
        assert_eq!(take_in.piece(4, 5..100), None);
        assert_eq!(take_in.piece(8, 8..40), Some(8..40));
    }
}
