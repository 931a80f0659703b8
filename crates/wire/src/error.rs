//! Errors of messages, which name the field at fault.

use crate::ErrorCode;

/// A message that cannot be used. Each names the field, as `message.field` of the contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A required message or field is absent.
    #[error("{field} is missing; send a message of tricorn.v1")]
    Missing {
        /// The absent field.
        field: &'static str,
    },
    /// An enumeration holds a number this version does not know.
    #[error("{field} has the unknown value {value}; use one that tricorn.v1 names")]
    UnknownValue {
        /// The enumeration.
        field: &'static str,
        /// What it held.
        value: i32,
    },
    /// A number does not fit this machine, or a sum of two numbers does not.
    #[error("{field} = {value} is out of range")]
    OutOfRange {
        /// The number's field.
        field: &'static str,
        /// What it held.
        value: u64,
    },
    /// A byte string has the wrong length.
    #[error("{field} holds {found} bytes, expected {expected}")]
    Length {
        /// The byte string's field.
        field: &'static str,
        /// Bytes that the rest of the message calls for.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// Coded rows break the code's rules.
    #[error(
        "{field} holds coded rows that do not decode ({reason}); send them as codec f16z of \
         tricorn.v1 says"
    )]
    Corrupt {
        /// The field with the rows.
        field: &'static str,
        /// The rule.
        reason: &'static str,
    },
    /// A hidden row holds NaN or infinity.
    #[error("{field} holds a value that is not finite at row {row}, column {column}")]
    NotFinite {
        /// The field with the rows.
        field: &'static str,
        /// Row within this message, from 0.
        row: usize,
        /// Column within the row, from 0.
        column: usize,
    },
    /// A format's name is too long or odd.
    #[error("{field} is no format's name; send at most 16 letters, digits, `-` and `_`")]
    Name {
        /// The name's field.
        field: &'static str,
    },
    /// A list is longer than it may be.
    #[error("{field} holds {found} entries, the limit is {limit}")]
    TooMany {
        /// The list.
        field: &'static str,
        /// Its length.
        found: usize,
        /// The most it may hold.
        limit: usize,
    },
    /// Entries that must ascend do not.
    #[error("{field} does not ascend at entry {index}; send the entries in order, each once")]
    NotAscending {
        /// The list.
        field: &'static str,
        /// The first entry that is not above the one before, from 0.
        index: usize,
    },
    /// The cloud's address cannot be used.
    #[error("`{url}` is not a cloud's address ({reason}); write http://HOST:PORT")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl WireError {
    /// The code under which a cloud reports this error to the device that caused it.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotFinite { .. } => ErrorCode::BadFloat,
            Self::Length { field: "append.rows", .. } | Self::Corrupt { .. } => {
                ErrorCode::BadAppend
            }
            _ => ErrorCode::BadMessage,
        }
    }
}
