//! Answers to appends that have been computed.

use std::ops::Range;

use crate::{AnswerTiming, AppendKind, DeepHeader};

/// The answer to one append, but for its rows, which are with the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it answers, and how many rows it carries.
    pub header: DeepHeader,
    /// What the append was for.
    pub kind: AppendKind,
    /// Where the cloud spent its time on it.
    pub timing: AnswerTiming,
}

/// What a batch adds to the answer of one append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerPart {
    /// Whether the append begins in this batch: rows kept of any answer before are of no use now.
    pub begins: bool,
    /// The answer's rows, counted from the first of the member's
    /// [answer rows](super::Member::answer_rows).
    pub rows: Range<usize>,
    /// The answer, when the append ends in this batch and its answer is still wanted: it carries
    /// the rows of all its parts.
    pub answer: Option<Answer>,
}
