//! Bounds that a cloud states in `Describe` and holds every session to.

/// Limits of one session, in rows (tokens).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Longest sequence: no append may end beyond this.
    pub context: usize,
    /// Most rows in one append.
    pub max_append_rows: usize,
    /// Most rows accepted and not yet computed.
    pub max_queued_rows: usize,
}
