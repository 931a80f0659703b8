//! Queue of an engine: requests that wait, and the slots that take them.

pub(super) mod held;
pub(super) mod job;
pub(super) mod roster;
