//! Tricorn's trainer: distils a drafter from the model that it drafts for.
//!
//! [`distill`] runs the frozen model over training sequences (the teacher), and teaches HAT's adapter to guess the model's last hidden
//! rows from those of its first layers (arXiv 2503.18989, section 3). Progress goes to a callback as [`Event`]s; what is measured on
//! held-out prompts is not a loss but what counts in use: tokens per verification round, see [`accept`].

pub mod accept;
mod checkpoint;
pub mod config;
mod data;
mod error;
pub mod event;
mod export;
mod feed;
mod held_out;
mod history;
mod loss;
mod optimizer;
mod pass;
pub mod plot;
mod rng;
mod schedule;
mod student;
mod teacher;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod testing;
mod text;
mod trainer;

pub use accept::{CurvePoint, HeldOutReport, measure};
pub use config::{Budget, DistillConfig, HeldOutConfig};
pub use error::TrainError;
pub use event::{Event, StepReport};
pub use history::{History, HistoryPoint};
pub use trainer::{End, Outcome, distill};
