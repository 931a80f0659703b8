//! Control of a turn: its end from outside, and what is kept of it.

use crate::cancel::Cancel;

/// Control over a turn; the default leaves it alone.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Ends it from another thread.
    pub cancel: Cancel,
    /// Whether samples of what crosses the wire are kept.
    pub samples: bool,
}
