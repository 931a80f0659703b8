//! Output of a request: its text and updates, on their way to the client.

pub(super) mod outlet;
pub(super) mod patience;
pub(super) mod text;
pub(super) mod update;
