//! Cloud's side of the protocol: what one session may append, which rows of many sessions run
//! together, and what is answered.

mod answer;
mod arrival;
mod batch;
mod error;
mod in_flight;
mod later;
mod monitor;
mod run;
mod scheduler;
mod session;
mod slot;
mod stage;

pub use answer::{Answer, AnswerPart};
pub use arrival::Arrival;
pub use batch::{BatchLimits, Candidate, Schedule, Share, choose_batch};
pub use error::AppendError;
pub use in_flight::{FormedBatch, FormedMember, InFlightBatch, Member};
pub use later::HandOver;
pub use monitor::{Figures, MonitorReport, Took};
pub use run::{Head, Piece, Run};
pub use scheduler::{OpenRefused, Scheduler, SchedulerConfig};
pub use session::{Admission, CloudSession};
pub use stage::{
    Admitted, EntryError, InFlightJob, StageEntry, StageJob, StageScheduler, StartedJob,
};
