//! Stage messages: between clouds that hold successive layers of one middle.

mod down;
mod up;

pub use down::{StageDone, StageDown, StageOpened};
pub use up::{StageBatch, StageOpen, StageUp};

use tricorn_core::HiddenCodec;

/// Rows between stages are the residual stream itself: whatever rounded it would make the text
/// depend on the number of stages.
const CODEC: HiddenCodec = HiddenCodec::F32;
