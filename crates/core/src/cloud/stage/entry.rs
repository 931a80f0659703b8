//! Entry of a batch between stages: one session's share, and whether it fits what is held.

/// One session's share of a batch, as one stage tells the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageEntry {
    /// The session, as the earlier stage names it.
    pub session: u64,
    /// Position of the first row; rows held from there on are dropped first. `pos + rows` does not
    /// overflow on anything received.
    pub pos: usize,
    /// Number of rows, at least 1.
    pub rows: usize,
    /// How many of the last rows must come back.
    pub answer_rows: usize,
}

/// A session's place in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The session's name, here and in the stages behind: those of several lanes meet there.
    pub name: u64,
    /// Whether it is new: it has no KV cache yet.
    pub is_new: bool,
    /// The most positions that it may ever have.
    pub context: usize,
}

/// Reason why a session takes no part in a batch of a later stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// There are as many sessions as were announced.
    #[error("all {limit} sessions of a later stage are taken; try again later")]
    Full {
        /// Sessions at a time.
        limit: usize,
    },
    /// Rows before the entry's are missing, as after a loss that the earlier stage has not heard
    /// of yet.
    #[error("a later stage holds {held} of the {pos} rows before these; reconnect and replay")]
    Gap {
        /// Rows that are there.
        held: usize,
        /// Position of the entry's first row.
        pos: usize,
    },
    /// The entry ends beyond the context.
    #[error("{rows} rows at position {pos} end beyond the context of {context} tokens")]
    BeyondContext {
        /// Position of the entry's first row.
        pos: usize,
        /// The entry's rows.
        rows: usize,
        /// Longest sequence.
        context: usize,
    },
    /// The lane has ended.
    #[error("the earlier stage's stream has ended; reconnect and replay")]
    NoLane,
}
