//! Clouds as an engine uses them: guarded by a circuit breaker, and metered.

pub(super) mod breaker;
pub(super) mod guarded;
pub(super) mod metered;
