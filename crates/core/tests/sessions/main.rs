//! Device and cloud sessions against each other, over a simulated network and a toy model that
//! notices every misplaced row.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod branches;
mod distribution;
mod interleavings;
mod language;
mod model;
mod recovery;
mod rounds;
mod streaming;
mod world;
