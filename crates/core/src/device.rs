//! The device's side: one conversation, its drafts, its uploads and its recovery.

mod action;
mod chunk;
mod draft;
mod session;
mod turn;

pub use action::{Action, DeepUse, Judgement, ProtocolError};
pub use chunk::ChunkPolicy;
pub use draft::DraftPolicy;
pub use session::{DeviceSession, SessionConfig};
pub use turn::{FinishReason, TurnError, TurnOptions};
