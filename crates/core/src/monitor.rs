//! Measurements and what is learnt from them: moving averages, the delay of a batch by its rows,
//! and what a cloud says about its speed.

mod average;
mod conditions;
mod cost;
mod delay;
mod device;
mod link;
mod throughput;

pub use average::Average;
pub use conditions::Conditions;
pub use cost::Cost;
pub use delay::{DelayModel, DelayPoint};
pub use device::{Answered, DeviceMonitor};
pub use throughput::{AnswerTiming, CloudThroughput, Received};
