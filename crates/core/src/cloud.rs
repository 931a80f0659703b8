//! The cloud's side: what one session may append, and which appends run together.

mod batch;
mod session;

pub use batch::{Candidate, choose_batch};
pub use session::{Admission, AppendError, CloudSession, Work};
