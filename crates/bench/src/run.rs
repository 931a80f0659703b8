//! A run from outside: its progress, its early end, and how busy the machine was.

mod cpu;
mod observer;
mod stop;

pub(crate) use cpu::{CpuTimes, SATURATED};
pub use observer::{Observer, Silent};
pub use stop::Stop;
