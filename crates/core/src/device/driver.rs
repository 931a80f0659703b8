//! Driver policy: what a device's driver does in which order, and when it gives up.
//!
//! A driver owns tensors, a connection and a clock. These types own none of them: times go in as
//! [`Duration`](std::time::Duration)s since the turn began, decisions come out.

mod backoff;
mod recovery;
mod steps;
mod take_in;
mod token_times;
mod uplink;

pub use backoff::Backoff;
pub use recovery::{AfterLoss, Loss, Recovery};
pub use steps::{Step, StepOrder};
pub use take_in::TakeIn;
pub use token_times::{RoundTime, TokenTimes};
pub use uplink::{NothingNew, SentAppend, Uplink};
