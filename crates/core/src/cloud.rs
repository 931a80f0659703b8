//! The cloud's side: what one session may append, and which rows of many sessions run together.

mod batch;
mod error;
mod run;
mod session;

pub use batch::{BatchLimits, Candidate, Schedule, Share, choose_batch};
pub use error::AppendError;
pub use run::{Head, Piece, Run};
pub use session::{Admission, CloudSession};
