//! What watches over a turn.

use crate::Cancel;

/// What watches over a turn. By default nothing does.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Ends it from another thread.
    pub cancel: Cancel,
    /// Whether samples of what crosses the wire are kept.
    pub samples: bool,
}
