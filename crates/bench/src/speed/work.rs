//! Pieces of work that Tricorn and llama.cpp can both do.

use std::fmt;

/// What a piece of work stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reading a prompt: the last row's logits are needed.
    Prefill,
    /// Writing: one row a call, each behind the one before.
    Decode,
    /// Verifying drafts: some rows at the same positions again and again, the logits of all needed.
    Verify,
}

/// `calls` calls of `rows` rows each; the first begins at position `at`, the positions before hold
/// a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) kind: Kind,
    pub(super) rows: usize,
    pub(super) at: usize,
    pub(super) calls: usize,
}

impl Work {
    /// Prompts of `rows` tokens; short ones several times over.
    pub(super) fn prefill(rows: usize) -> Self {
        Self { kind: Kind::Prefill, rows, at: 0, calls: (64 / rows.max(1)).clamp(1, 8) }
    }

    /// `calls` tokens behind `at` others.
    pub(super) fn decode(at: usize, calls: usize) -> Self {
        Self { kind: Kind::Decode, rows: 1, at, calls }
    }

    /// `rows` drafts behind `at` tokens.
    pub(super) fn verify(rows: usize, at: usize) -> Self {
        Self { kind: Kind::Verify, rows, at, calls: 8 }
    }

    /// Position of each call's first row.
    pub(super) fn starts(self) -> impl Iterator<Item = usize> {
        (0..self.calls).map(move |call| match self.kind {
            Kind::Decode => self.at + call,
            Kind::Prefill | Kind::Verify => self.at,
        })
    }

    /// How many of a call's last rows need logits.
    pub(super) fn logits(self) -> usize {
        match self.kind {
            Kind::Prefill => 1,
            Kind::Decode | Kind::Verify => self.rows,
        }
    }

    /// Positions that the caches must have room for.
    pub(super) fn end(self) -> usize {
        self.starts().last().unwrap_or(self.at) + self.rows
    }

    /// Positions attended to by all rows of the middle call together.
    pub(super) fn attended(self) -> f64 {
        let start = self.starts().nth(self.calls / 2).unwrap_or(self.at);
        (start + 1..=start + self.rows).map(|positions| positions as f64).sum()
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Prefill => write!(f, "prefill {}", self.rows),
            Kind::Decode => write!(f, "decode at {}", self.at),
            Kind::Verify => write!(
                f,
                "{} row{} at {}",
                self.rows,
                if self.rows == 1 { "" } else { "s" },
                self.at
            ),
        }
    }
}

/// The text that is read and written: all tokens are as good as any other, as long as both
/// sides see the same.
pub(super) fn token(position: usize, vocab: usize) -> u32 {
    u32::try_from(position.wrapping_mul(7919) % vocab).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_moves_on_and_verifying_stays() {
        let decode = Work::decode(8, 4);
        assert_eq!(
            (decode.starts().collect::<Vec<_>>(), decode.end(), decode.logits()),
            (vec![8, 9, 10, 11], 12, 1)
        );
        assert_eq!(decode.attended(), 11.0);
        let verify = Work::verify(2, 8);
        assert_eq!(
            (verify.starts().all(|at| at == 8), verify.end(), verify.logits()),
            (true, 10, 2)
        );
        let prefill = Work::prefill(4);
        assert_eq!((prefill.end(), prefill.logits(), prefill.attended()), (4, 1, 10.0));
        assert_eq!(Work::prefill(2048).calls, 1);
    }
}
