//! The device's side: one conversation, its drafts, its uploads and its recovery.

pub mod action;
pub mod chunk;
pub mod draft;
pub mod session;
pub mod turn;

pub use action::{Action, DeepUse, Judgement, ProtocolError};
pub use chunk::ChunkPolicy;
pub use draft::DraftPolicy;
pub use session::{DeviceSession, SessionConfig};
pub use turn::{FinishReason, TurnError, TurnOptions};
