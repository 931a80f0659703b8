//! Row window: the shallow rows that the device computed last and may still send or draft from.

use super::rows::Rows;
use std::ops::Range;

/// Rows at consecutive positions, with the tokens they were computed from.
#[derive(Debug)]
pub(super) struct RowWindow {
    tokens: Vec<u32>,
    rows: Rows,
}

impl RowWindow {
    pub(super) fn new(hidden: usize) -> Self {
        Self { tokens: Vec::new(), rows: Rows::new(hidden) }
    }

    /// Keeps of the window what rows at `pos..` made of `tokens` can use, drops what lies before
    /// `pos`, and says how many of `tokens` have their row already.
    pub(super) fn reuse(&mut self, pos: usize, tokens: &[u32]) -> usize {
        if pos < self.rows.start() || pos > self.rows.end() {
            self.tokens.clear();
            self.rows.put(pos, &[]);
            return 0;
        }
        self.tokens.drain(..pos - self.rows.start());
        self.rows.forget_before(pos);
        let same =
            self.tokens.iter().zip(tokens).take_while(|(held, wanted)| held == wanted).count();
        if same < tokens.len() {
            self.tokens.truncate(same);
            self.rows.truncate(pos + same);
        }
        same
    }

    /// Holds the rows of `tokens` at `pos..`, within the window or at its end, and nothing behind
    /// them.
    pub(super) fn put(&mut self, pos: usize, tokens: &[u32], rows: &[f32]) {
        self.tokens.truncate(pos - self.rows.start());
        self.tokens.extend_from_slice(tokens);
        self.rows.put(pos, rows);
    }

    /// The positions whose rows are held.
    pub(super) fn held(&self) -> Range<usize> {
        self.rows.start()..self.rows.end()
    }

    /// The `rows` rows at `pos..`; those of the last [`reuse`](Self::reuse) are there once what it
    /// missed has been put.
    pub(super) fn rows(&self, pos: usize, rows: usize) -> &[f32] {
        self.rows.range(pos, rows).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_other_tokens_are_forgotten() {
        let mut window = RowWindow::new(1);
        assert_eq!(window.reuse(3, &[7, 8, 9]), 0);
        window.put(3, &[7, 8, 9], &[0.7, 0.8, 0.9]);
        assert_eq!(window.reuse(4, &[8]), 1);
        assert_eq!(window.reuse(4, &[8, 5]), 1);
        window.put(5, &[5], &[0.5]);
        assert_eq!(window.rows(4, 2), [0.8, 0.5]);
        window.put(5, &[6, 7], &[0.6, 0.7]);
        assert_eq!(window.reuse(4, &[8, 6, 7]), 3);
        assert_eq!(window.reuse(0, &[7]), 0);
        assert_eq!(window.reuse(9, &[7]), 0);
    }
}
