//! Rows of a ragged batch: the rows of all sequences one after the other.

use std::ops::Range;

/// Where the sequences of a batch begin and end, and the position of every row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    sequences: Vec<Range<usize>>,
    positions: Vec<usize>,
}

impl Rows {
    /// Adds a sequence of `rows` rows, the first of them at `position`.
    pub fn push(&mut self, position: usize, rows: usize) {
        let start = self.positions.len();
        self.sequences.push(start..start + rows);
        self.positions.extend(position..position + rows);
    }

    /// The rows of each sequence.
    #[must_use]
    pub fn sequences(&self) -> &[Range<usize>] {
        &self.sequences
    }

    /// The position of each row.
    #[must_use]
    pub fn positions(&self) -> &[usize] {
        &self.positions
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }
}
