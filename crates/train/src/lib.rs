//! Tricorn's trainer: distils a drafter from the model that it drafts for.
//!
//! [`distill`] runs the frozen model over training sequences (the teacher), and teaches a drafter
//! to guess the model's last hidden rows: HAT's adapter from those of its first layers (arXiv
//! 2503.18989, section 3), the fused drafter also from the last row before, the teacher's or its
//! own guess (after EAGLE-3, arXiv 2503.01840). Progress goes to a callback as [`Event`]s; what is
//! measured on held-out prompts is not a loss but what counts in use: tokens per verification
//! round, see [`accept`].
//!
//! ```no_run
//! use std::{path::Path, sync::{Arc, atomic::AtomicBool}};
//! use tricorn_model::ModelSource;
//! use tricorn_train::{DistillConfig, Event, distill};
//!
//! let source = Arc::new(ModelSource::open(Path::new("models/demo"))?);
//! let (train, valid) = ("train.jsonl".into(), "valid.jsonl".into());
//! let mut config = DistillConfig::new(train, valid, "drafter".into());
//! config.budget.tokens = Some(1_000_000);
//! let stop = AtomicBool::new(false);
//! let outcome = distill(&source, &config, &stop, &mut |event| {
//!     if let Event::Evaluated(point) = event {
//!         println!("{} tokens: {:.2} tokens per round", point.tokens, point.tokens_per_round);
//!     }
//! })?;
//! println!("{:?}", outcome.report);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod accept;
pub mod config;
mod error;
pub mod event;
mod history;
mod lessons;
pub mod plot;
mod rng;
mod student;
#[cfg(test)]
mod testing;
mod trainer;

pub use accept::{CurvePoint, HeldOutReport, measure};
pub use config::{Budget, DistillConfig, HeldOutConfig};
pub use error::TrainError;
pub use event::{Event, StepReport};
pub use history::{History, HistoryPoint};
pub use trainer::{End, Outcome, distill};
