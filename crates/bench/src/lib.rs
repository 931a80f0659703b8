//! The bench: split inference methods compared over emulated links, the speed of the model and its
//! kernels, and the perplexity of quantised formats.
#![forbid(unsafe_code)]

mod cell;
mod compare;
mod error;
mod figures;
mod fleet;
mod mode;
pub mod perplexity;
mod report;
mod run;
mod scenario;
pub mod speed;
mod sweep;
mod workload;

pub use cell::{Breakdown, Cell, Chunk, FailedRequest, Sample};
pub use compare::{Compared, Comparison, Mismatch, Plan, compare};
pub use error::BenchError;
pub use figures::Summary;
pub use fleet::{CloudLoad, CloudProcess, CloudProgram, Setup};
pub use mode::{Drafts, Mode};
pub use report::{Finding, Report, Row, Target};
pub use run::{Observer, Silent, Stop};
pub use scenario::{DeviceClass, Load, SCENARIOS, Scenario, Slo, Throttle};
pub use sweep::{Sweep, sweep};
pub use workload::{PromptLengths, Prompts};
