//! Run: the rows of one session in one batch.

use std::ops::Range;

use crate::{AppendHeader, AppendKind};

/// Rows of one append that run together: all of them, or a piece of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece<P> {
    /// The append as the device sent it.
    pub header: AppendHeader,
    /// Position of the piece's first row.
    pub pos: usize,
    /// Rows of the piece.
    pub rows: usize,
    /// The whole append's payload.
    pub payload: P,
}

impl<P> Piece<P> {
    /// The position after the last row.
    #[must_use]
    pub fn end(&self) -> usize {
        self.pos + self.rows
    }

    /// Whether the append begins here.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.pos == self.header.pos
    }

    /// Whether the append ends here: its answer is due once this has run.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.end() == self.header.end()
    }

    /// The positions of the rows that belong into the append's answer; the last rows of the piece,
    /// possibly none.
    #[must_use]
    pub fn answer_rows(&self) -> Range<usize> {
        let end = self.end();
        self.header.answer().first_row_pos.clamp(self.pos, end)..end
    }
}

/// Contiguous rows of one session that run together: pieces of one or several appends of one kind.
/// Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run<P> {
    /// Position of the first row; the KV cache is truncated there first.
    pub pos: usize,
    /// Rows of all pieces.
    pub rows: usize,
    /// In order; each begins where the one before ends.
    pub pieces: Vec<Piece<P>>,
}

impl<P> Run<P> {
    /// What its rows are for; `None` when it is empty.
    #[must_use]
    pub fn kind(&self) -> Option<AppendKind> {
        self.pieces.first().map(|piece| piece.header.kind)
    }

    /// How many rows, counted from the end of the run, hold every row that an answer needs.
    #[must_use]
    pub fn answer_rows(&self) -> usize {
        let first = self.pieces.iter().map(Piece::answer_rows).find(|wanted| !wanted.is_empty());
        first.map_or(0, |wanted| self.pos + self.rows - wanted.start)
    }
}

/// What a session could run next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a, P> {
    /// What the rows are for.
    pub kind: AppendKind,
    /// Rows that may run together.
    pub rows: usize,
    /// The payload of the append that they begin with.
    pub payload: &'a P,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Want;

    fn piece(want: Want, pos: usize, rows: usize) -> Piece<()> {
        let header = AppendHeader { epoch: 0, pos: 10, rows: 10, want, kind: AppendKind::Prompt };
        Piece { header, pos, rows, payload: () }
    }

    #[test]
    fn a_piece_answers_with_its_share() {
        assert_eq!(piece(Want::None, 10, 10).answer_rows(), 20..20);
        assert_eq!(piece(Want::Last, 10, 4).answer_rows(), 14..14);
        assert_eq!(piece(Want::Last, 14, 6).answer_rows(), 19..20);
        assert_eq!(piece(Want::All, 14, 3).answer_rows(), 14..17);
        assert!(
            piece(Want::All, 10, 4).is_first()
                && !piece(Want::All, 10, 4).is_last()
                && piece(Want::All, 14, 6).is_last()
        );
    }

    #[test]
    fn a_run_answers_from_the_first_row_that_anyone_wants() {
        let next =
            AppendHeader { epoch: 0, pos: 20, rows: 3, want: Want::None, kind: AppendKind::Prompt };
        let silent = Piece { header: next, pos: 20, rows: 3, payload: () };
        let run = Run { pos: 14, rows: 9, pieces: vec![piece(Want::Last, 14, 6), silent.clone()] };
        assert_eq!(run.answer_rows(), 4);
        assert_eq!(Run { pos: 20, rows: 3, pieces: vec![silent] }.answer_rows(), 0);
    }
}
