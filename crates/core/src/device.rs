//! The device's side: one conversation, its drafts, its uploads and its recovery.

mod action;
mod branch;
mod calibration;
mod chunk;
mod draft;
pub mod driver;
mod forecast;
pub mod overlap;
pub mod pipeline;
mod round;
mod session;
mod streaming;
mod turn;

pub use action::{Action, DeepUse, Judgement, ProtocolError};
pub use branch::Branch;
pub use chunk::ChunkPolicy;
pub use draft::{BranchAt, Draft, DraftPolicy, DraftStop, Guess, Streaming};
pub use session::{DeviceSession, SessionConfig};
pub use turn::{FinishReason, TurnError, TurnOptions};
