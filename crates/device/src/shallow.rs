//! The rows that the device computed last and may still have to send.

/// Rows at consecutive positions, with the tokens they were computed from.
#[derive(Debug)]
pub(crate) struct RowWindow {
    hidden: usize,
    start: usize,
    tokens: Vec<u32>,
    rows: Vec<f32>,
}

impl RowWindow {
    pub(crate) fn new(hidden: usize) -> Self {
        Self { hidden, start: 0, tokens: Vec::new(), rows: Vec::new() }
    }

    /// Keeps of the window what rows at `pos..` made of `tokens` can use, drops what lies before `pos`, and says how many of `tokens`
    /// have their row already.
    pub(crate) fn reuse(&mut self, pos: usize, tokens: &[u32]) -> usize {
        if pos < self.start || pos > self.start + self.tokens.len() {
            (self.start, self.tokens, self.rows) = (pos, Vec::new(), Vec::new());
            return 0;
        }
        let dropped = pos - self.start;
        self.tokens.drain(..dropped);
        self.rows.drain(..dropped * self.hidden);
        self.start = pos;
        let same = self.tokens.iter().zip(tokens).take_while(|(held, wanted)| held == wanted).count();
        if same < tokens.len() {
            self.tokens.truncate(same);
            self.rows.truncate(same * self.hidden);
        }
        same
    }

    /// Appends rows.
    pub(crate) fn extend(&mut self, tokens: &[u32], rows: &[f32]) {
        self.tokens.extend_from_slice(tokens);
        self.rows.extend_from_slice(rows);
    }

    /// The first `rows` rows.
    pub(crate) fn rows(&self, rows: usize) -> &[f32] {
        &self.rows[..rows * self.hidden]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_other_tokens_are_forgotten() {
        let mut window = RowWindow::new(1);
        assert_eq!(window.reuse(3, &[7, 8, 9]), 0);
        window.extend(&[7, 8, 9], &[0.7, 0.8, 0.9]);
        assert_eq!(window.reuse(4, &[8]), 1);
        assert_eq!(window.reuse(4, &[8, 5]), 1);
        window.extend(&[5], &[0.5]);
        assert_eq!(window.rows(2), [0.8, 0.5]);
        assert_eq!(window.reuse(0, &[7]), 0);
        assert_eq!(window.reuse(9, &[7]), 0);
    }
}
