//! Errors of appends: what a device can do wrong.

/// Reason why an append ends its session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// No rows.
    #[error("append at position {pos} carries no rows; send at least one")]
    Empty {
        /// The append's position.
        pos: usize,
    },
    /// More rows than one append may carry.
    #[error("append carries {rows} rows, the limit is {limit}; send smaller chunks")]
    TooManyRows {
        /// The append's rows.
        rows: usize,
        /// [`SessionLimits::max_append_rows`](crate::SessionLimits::max_append_rows).
        limit: usize,
    },
    /// It ends beyond the context.
    #[error(
        "append of {rows} rows at position {pos} ends beyond the context of {context} tokens; \
         shorten the conversation"
    )]
    BeyondContext {
        /// The append's position.
        pos: usize,
        /// The append's rows.
        rows: usize,
        /// [`SessionLimits::context`](crate::SessionLimits::context).
        context: usize,
    },
    /// Rows between the session's end and the append are missing.
    #[error(
        "append at position {pos} leaves a gap, the session holds {len} rows; replay from \
         position {len} or below"
    )]
    Gap {
        /// The append's position.
        pos: usize,
        /// Rows that the session holds once everything accepted has run.
        len: usize,
    },
    /// Too much is waiting already.
    #[error(
        "append of {rows} rows does not fit the queue, {queued} of {limit} rows wait already; \
         await answers before sending more"
    )]
    QueueFull {
        /// The append's rows.
        rows: usize,
        /// Rows accepted and not yet started.
        queued: usize,
        /// [`SessionLimits::max_queued_rows`](crate::SessionLimits::max_queued_rows).
        limit: usize,
    },
}
