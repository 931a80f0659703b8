//! Headers of the two messages that carry hidden states. All positions and counts are in tokens
//! (rows).

/// Deep rows that the device wants back for an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// None: an acknowledgement only.
    None,
    /// The last row's.
    Last,
    /// Every row's.
    All,
}

/// Purpose of an append; a scheduler serves verifications first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AppendKind {
    /// Part of a prompt, or of a replay.
    Prompt,
    /// The last confirmed token and the drafts after it.
    Verify,
}

/// Device to cloud: "these are the shallow rows at positions `pos .. pos + rows`".
///
/// An append at `pos` below the session's length truncates the session to `pos` first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendHeader {
    /// Grows whenever the device abandons appends that are still in flight.
    pub epoch: u32,
    /// Position of the first row.
    pub pos: usize,
    /// Number of rows, at least one.
    pub rows: usize,
    /// Rows to send back.
    pub want: Want,
    /// Purpose of the append.
    pub kind: AppendKind,
}

impl AppendHeader {
    /// Number of deep rows that answer this append.
    #[must_use]
    pub fn answer_rows(&self) -> usize {
        match self.want {
            Want::None => 0,
            Want::Last => 1,
            Want::All => self.rows,
        }
    }

    /// The position after the last row.
    #[must_use]
    pub fn end(&self) -> usize {
        self.pos + self.rows
    }

    /// The answer's header.
    #[must_use]
    pub fn answer(&self) -> DeepHeader {
        DeepHeader {
            epoch: self.epoch,
            pos: self.pos,
            rows: self.answer_rows(),
            first_row_pos: self.end() - self.answer_rows(),
        }
    }
}

/// Cloud to device: the answer to one append, carrying the deep rows at `first_row_pos ..
/// first_row_pos + rows`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeepHeader {
    /// The append's epoch.
    pub epoch: u32,
    /// The append's position, which names it.
    pub pos: usize,
    /// Number of deep rows carried; zero for a bare acknowledgement.
    pub rows: usize,
    /// Position of the first deep row carried.
    pub first_row_pos: usize,
}
