//! Errors of constraints.

use std::fmt;

/// A schema or grammar that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// The tokenizer does not tell the bytes of its tokens.
    #[error("texts of this model cannot be held to a grammar: {problem}; ask without one")]
    Vocabulary {
        /// What is missing.
        problem: String,
    },
    /// It is no JSON schema, or uses keywords that are not supported.
    #[error("the JSON schema cannot be used: {problem}; correct or simplify it")]
    Schema {
        /// What is wrong with it.
        problem: String,
    },
    /// No text is of the schema.
    #[error("no text satisfies the JSON schema: {problem}; correct it")]
    Unsatisfiable {
        /// What contradicts what.
        problem: String,
    },
    /// It is no grammar, or no regular expression.
    #[error("the grammar cannot be used: {problem}; correct it")]
    Grammar {
        /// What is wrong with it.
        problem: String,
    },
    /// There is no thread to compile it on.
    #[error("the schema or grammar cannot be compiled now: {problem}; try again")]
    NoThread {
        /// What the system said.
        problem: String,
    },
    /// It would take too much time or memory.
    #[error("the schema or grammar is too large: {problem}; simplify it")]
    TooLarge {
        /// Which bound it exceeds.
        problem: String,
    },
}

/// The first line of an error's message; panics bring their backtrace along.
pub(super) fn one_line(error: &impl fmt::Display) -> String {
    error
        .to_string()
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("no reason is given")
        .to_owned()
}
