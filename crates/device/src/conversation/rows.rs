//! Rows of hidden values at consecutive positions.

/// Rows of `hidden` values at positions `start..end`.
#[derive(Debug)]
pub(super) struct Rows {
    hidden: usize,
    start: usize,
    values: Vec<f32>,
}

impl Rows {
    pub(super) fn new(hidden: usize) -> Self {
        Self { hidden, start: 0, values: Vec::new() }
    }

    pub(super) fn start(&self) -> usize {
        self.start
    }

    pub(super) fn end(&self) -> usize {
        self.start + self.values.len() / self.hidden
    }

    /// The row at `pos`, where it is held.
    pub(super) fn at(&self, pos: usize) -> Option<&[f32]> {
        self.range(pos, 1)
    }

    /// The rows at `pos..pos + rows`, where all are held.
    pub(super) fn range(&self, pos: usize, rows: usize) -> Option<&[f32]> {
        let first = pos.checked_sub(self.start)? * self.hidden;
        self.values.get(first..first + rows * self.hidden)
    }

    /// Holds `rows` at `pos..` and nothing behind them. What is held before `pos` stays if it leads
    /// up to there.
    pub(super) fn put(&mut self, pos: usize, rows: &[f32]) {
        self.truncate(pos);
        if self.end() != pos {
            (self.start, self.values) = (pos, Vec::new());
        }
        self.values.extend_from_slice(rows);
    }

    /// Forgets the rows from `pos` on.
    pub(super) fn truncate(&mut self, pos: usize) {
        self.values.truncate(pos.saturating_sub(self.start) * self.hidden);
    }

    /// Forgets the rows before `pos`.
    pub(super) fn forget_before(&mut self, pos: usize) {
        let forgotten = pos.clamp(self.start, self.end()) - self.start;
        self.values.drain(..forgotten * self.hidden);
        self.start += forgotten;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_consecutive() {
        let mut rows = Rows::new(2);
        rows.put(5, &[5.0, 5.5, 6.0, 6.5, 7.0, 7.5]);
        assert_eq!((rows.start(), rows.end()), (5, 8));
        assert_eq!(rows.range(6, 2), Some(&[6.0, 6.5, 7.0, 7.5][..]));
        assert_eq!((rows.at(4), rows.at(8), rows.range(7, 2)), (None, None, None));
        rows.put(7, &[8.0, 8.5]);
        assert_eq!((rows.end(), rows.at(7)), (8, Some(&[8.0, 8.5][..])));
        rows.forget_before(6);
        assert_eq!((rows.start(), rows.at(6)), (6, Some(&[6.0, 6.5][..])));
        rows.put(10, &[1.0, 1.5]);
        assert_eq!((rows.start(), rows.end()), (10, 11));
        rows.put(9, &[2.0, 2.5]);
        assert_eq!((rows.start(), rows.end()), (9, 10));
        rows.forget_before(3);
        rows.truncate(2);
        assert_eq!((rows.start(), rows.end()), (9, 9));
    }
}
