//! Device and cloud sessions against each other, over a simulated network and a toy model that
//! notices every misplaced row.

mod branches;
pub(crate) mod device;
mod distribution;
pub(crate) mod interleavings;
mod language;
pub(crate) mod model;
mod recovery;
mod rounds;
mod streaming;
mod world;
