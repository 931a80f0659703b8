//! Actions that the session asks of its driver, and verdicts on the cloud's answers.

use super::FinishReason;
use crate::{AppendHeader, DeepHeader};

/// The driver's next action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a session on a cloud, then report [`connected`](super::DeviceSession::connected).
    Connect,
    /// Draft the token at `pos` from all tokens before it
    /// ([`tokens_at`](super::DeviceSession::tokens_at)), then report
    /// [`drafted`](super::DeviceSession::drafted). Where answers are due, look for them first: they
    /// may end the round.
    Draft {
        /// Position of the token to draft.
        pos: usize,
    },
    /// All rows of the round are on their way. Say what the drafter holds possible at `pos`, the
    /// position after the last draft, by [`guessed`](super::DeviceSession::guessed); continuations
    /// are drafted from the likeliest. Where answers are due, look for them first.
    Guess {
        /// Position of the token to guess.
        pos: usize,
    },
    /// Draft one token more for each of [`open_branches`](super::DeviceSession::open_branches),
    /// then report [`branched`](super::DeviceSession::branched). Where answers are due, look for
    /// them first.
    Branch,
    /// Send the shallow rows of `tokens_at(pos, rows)`. The append counts as sent from now on; when
    /// sending fails, report [`disconnected`](super::DeviceSession::disconnected).
    Append(AppendHeader),
    /// Nothing to do before the cloud answers or the connection ends (or, before the first turn,
    /// before a turn starts).
    Wait,
    /// The turn is over.
    Finished(FinishReason),
}

/// Use of an answer's deep rows.
///
/// With output layers on the device (`K > 0`) the rows of [`Extend`](Self::Extend) and
/// [`Judge`](Self::Judge) go through them first, all of them, at [`DeepHeader::first_row_pos`],
/// which may lie below what their KV cache holds: it is truncated there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeepUse {
    /// The append was abandoned: ignore the rows.
    Stale,
    /// An acknowledgement without rows.
    Ack,
    /// The rows only feed the output layers' KV cache.
    Extend,
    /// Choose the target's token from each row's logits, from row `first_row` on, and report each
    /// with [`judge`](super::DeviceSession::judge), as long as it says
    /// [`Accepted`](Judgement::Accepted).
    Judge {
        /// Index of the first row to judge, among the answer's rows.
        first_row: usize,
        /// Position of the token that this row decides, which is the one after the row's own; the
        /// next row decides `pos + 1`, and so on.
        pos: usize,
    },
}

/// Consequence of a judged row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The target agrees with the draft: go on with the next row.
    Accepted,
    /// The target agrees with the draft, and this answer has no further row; the round goes on with
    /// the next one.
    Pending,
    /// The round is over.
    Settled {
        /// The index, among [`branches`](super::DeviceSession::branches) as they were, of the one
        /// whose drafts are now the new round's: the caches that were filled for it hold the rows
        /// of all its tokens but the last.
        branch: Option<usize>,
    },
}

/// The cloud answered what was not asked; the connection is of no further use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// No append awaits an answer.
    #[error(
        "the cloud answered an append at position {} though none awaits an answer; reconnect",
        .0.pos
    )]
    Unasked(DeepHeader),
    /// The answer is to another append than the oldest in flight, or carries other rows than it
    /// asked for.
    #[error(
        "the cloud answered position {}, {} rows from {}, but position {}, {} rows from {} was \
         due; reconnect",
        got.pos, got.rows, got.first_row_pos, due.pos, due.rows, due.first_row_pos
    )]
    Mismatch {
        /// The answer due.
        due: DeepHeader,
        /// The answer received.
        got: DeepHeader,
    },
    /// The answer is to an epoch that has not begun.
    #[error("the cloud answered epoch {got}, the session is at {epoch}; reconnect")]
    FutureEpoch {
        /// The session's epoch.
        epoch: u32,
        /// The answer's.
        got: u32,
    },
}
