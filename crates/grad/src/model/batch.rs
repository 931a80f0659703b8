//! A batch: token sequences of any lengths, and the tokens that are to be predicted.

use crate::{error::GradError, rows::Rows};

/// A token to be predicted from a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The row of the sequence, counted from 0.
    pub row: usize,
    /// The token that should follow it.
    pub token: u32,
}

/// The tokens of one sequence, with what is to be predicted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenSequence {
    /// The tokens that are read.
    pub tokens: Vec<u32>,
    /// Position of the first of them.
    pub position: usize,
    /// The rows that are learnt from.
    pub targets: Vec<Target>,
}

impl TokenSequence {
    /// A sequence at position 0 in which row `first` and all rows after it predict the next token.
    #[must_use]
    pub fn next_tokens(tokens: Vec<u32>, first: usize) -> Self {
        let next = tokens.iter().enumerate().skip(first + 1);
        let targets = next.map(|(row, &token)| Target { row: row - 1, token }).collect();
        Self { tokens, position: 0, targets }
    }
}

/// Sequences packed one after the other. Rows of different sequences do not see each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    tokens: Vec<u32>,
    rows: Rows,
    target_rows: Vec<usize>,
    target_tokens: Vec<u32>,
}

impl Batch {
    /// Packs sequences.
    ///
    /// # Errors
    /// When one has no tokens, a target is behind its sequence, or there is no target at all.
    pub fn new(sequences: &[TokenSequence]) -> Result<Self, GradError> {
        let mut batch = Self {
            tokens: Vec::new(),
            rows: Rows::default(),
            target_rows: Vec::new(),
            target_tokens: Vec::new(),
        };
        for (index, sequence) in sequences.iter().enumerate() {
            let (before, rows) = (batch.tokens.len(), sequence.tokens.len());
            if rows == 0 {
                return Err(GradError::EmptySequence(index));
            }
            for &Target { row, token } in &sequence.targets {
                if row >= rows {
                    return Err(GradError::TargetRow { row, rows });
                }
                batch.target_rows.push(before + row);
                batch.target_tokens.push(token);
            }
            batch.tokens.extend_from_slice(&sequence.tokens);
            batch.rows.push(sequence.position, rows);
        }
        if batch.target_rows.is_empty() {
            return Err(GradError::NoTargets);
        }
        Ok(batch)
    }

    /// The tokens of all sequences.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Where sequences begin and end.
    #[must_use]
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// How many tokens are to be predicted.
    #[must_use]
    pub fn targets(&self) -> usize {
        self.target_rows.len()
    }

    pub(crate) fn target_rows(&self) -> &[usize] {
        &self.target_rows
    }

    pub(crate) fn target_tokens(&self) -> &[u32] {
        &self.target_tokens
    }
}
