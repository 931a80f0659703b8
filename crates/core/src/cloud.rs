//! The cloud's side: what one session may append, and which appends run together.

pub mod batch;
pub mod session;

pub use batch::{Candidate, choose_batch};
pub use session::{Admission, AppendError, CloudSession, Work};
