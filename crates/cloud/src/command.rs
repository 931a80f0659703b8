//! Commands to the driver: from sessions' tasks, and from whoever keeps the connection to the next
//! stage.

use std::sync::Arc;

use tricorn_core::{AppendHeader, Arrival, HiddenCodec, SessionLimits};

use crate::{
    downstream::{Downstream, NextEvent, StageAnswer, StageLost},
    load::SessionPermit,
    outbox::Outbox,
    queue::QueuedRows,
};

/// What the driver is told.
#[derive(Debug)]
pub(crate) enum Command {
    Open(NewSession),
    Append {
        session: u64,
        header: AppendHeader,
        rows: AppendRows,
        arrival: Arrival,
    },
    Close {
        session: u64,
    },
    Drain,
    /// The next stage's connection stands anew, or is lost.
    Next(Result<Box<dyn Downstream>, StageLost>),
    /// A batch has come back from the next stage.
    Returned(StageAnswer),
}

/// A session as its stream's task opens it.
#[derive(Debug)]
pub(crate) struct NewSession {
    pub(crate) id: u64,
    pub(crate) limits: SessionLimits,
    pub(crate) codec: HiddenCodec,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) permit: SessionPermit,
}

/// An append's decoded rows.
#[derive(Debug)]
pub(crate) struct AppendRows {
    pub(crate) values: Vec<f32>,
    /// Dropped when the last of them starts to run.
    pub(crate) _queued: QueuedRows,
}

impl From<NextEvent> for Command {
    fn from(event: NextEvent) -> Self {
        match event {
            NextEvent::Connection(connection) => Self::Next(connection),
            NextEvent::Answer(answer) => Self::Returned(answer),
        }
    }
}
