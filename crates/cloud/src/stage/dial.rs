//! Dialling of the next stage, and the agreement with it.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};
use tricorn_wire::{
    Failure, StageDown, StageOpen, StageOpened, StageUp, WireError,
    limits::max_stage_message_bytes, proto, transport,
};

/// Stages that one middle may have. A chain that says it has more is a loop, or not ours.
const MAX_STAGES: usize = 64;
/// The first wait between tries; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// The least time that a stage is given for its first message: it may have connections waiting.
pub(crate) const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// Where the next stage is and what it must be.
#[derive(Clone, Debug)]
pub(crate) struct NextConfig {
    pub(crate) url: String,
    /// What is said to it.
    pub(crate) open: StageOpen,
    /// Where the layers of the last stage must end.
    pub(crate) end_layer: usize,
    /// A stage that leaves a batch unanswered for this long is taken for dead.
    pub(crate) deadline: Duration,
}

/// An open stream.
#[derive(Debug)]
pub(crate) struct Dialled {
    pub(crate) up: mpsc::Sender<proto::StageUp>,
    pub(crate) down: Streaming<proto::StageDown>,
    /// Stages from there to the last.
    pub(crate) stages: usize,
}

/// How a try failed.
#[derive(Debug)]
pub(crate) enum DialError {
    /// Worth another try.
    Unreachable(String),
    /// It answered, and does not fit.
    Refused(String),
    /// The address makes no sense.
    Address(WireError),
}

impl DialError {
    /// One line for whoever waits for the stage.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::Unreachable(reason) | Self::Refused(reason) => reason,
            Self::Address(error) => error.to_string(),
        }
    }
}

/// Waits for ever longer, up to a bound.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(FIRST_WAIT)
    }

    pub(crate) async fn wait(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_WAIT);
    }
}

impl NextConfig {
    /// One try, as long as a batch may take.
    pub(crate) async fn dial(&self) -> Result<Dialled, DialError> {
        self.dial_within(self.deadline.max(FIRST_ANSWER)).await
    }

    /// One try.
    pub(crate) async fn dial_within(&self, limit: Duration) -> Result<Dialled, DialError> {
        timeout(limit, self.open()).await.unwrap_or_else(|_| {
            Err(DialError::Unreachable(format!("no answer within {limit:.1?}")))
        })
    }

    async fn open(&self) -> Result<Dialled, DialError> {
        let unreachable = |reason: &str| DialError::Unreachable(reason.to_owned());
        let channel = transport::endpoint(&self.url).map_err(DialError::Address)?.connect().await;
        let channel = channel.map_err(|error| DialError::Unreachable(root_cause(&error)))?;
        let StageOpen { hidden, max_sessions, max_batch_rows, .. } = self.open;
        let mut client = transport::stage_client(
            channel,
            max_stage_message_bytes(max_batch_rows, max_sessions, hidden),
        );
        // A message for every batch that may be out, and the first.
        let (up, messages) = mpsc::channel(MAX_STAGES + 2);
        up.try_send(StageUp::Open(self.open).into())
            .map_err(|_| unreachable("the stream closed at once"))?;
        let mut down = client
            .run(ReceiverStream::new(messages))
            .await
            .map_err(|status| status_error(&status))?
            .into_inner();
        let first = down.message().await.map_err(|status| status_error(&status))?;
        let first = first.ok_or_else(|| unreachable("it closed the stream at once"))?;
        match StageDown::try_from(first).map_err(|error| DialError::Refused(error.to_string()))? {
            StageDown::Opened(opened) => Ok(Dialled { up, down, stages: self.agree(opened)? }),
            StageDown::Failed(Failure { code, message }) if code.is_transient() => {
                Err(DialError::Unreachable(message))
            }
            StageDown::Failed(failure) => Err(DialError::Refused(failure.message)),
            StageDown::Done(_) => {
                Err(DialError::Refused("it answered before the stream was open".to_owned()))
            }
        }
    }

    fn agree(&self, StageOpened { stages, end_layer }: StageOpened) -> Result<usize, DialError> {
        if end_layer != self.end_layer {
            return Err(DialError::Refused(format!(
                "the stages from there on end before layer {end_layer}, the middle before layer \
                 {}; give the last stage --layers up to there",
                self.end_layer
            )));
        }
        // One stage is here.
        if stages >= MAX_STAGES {
            return Err(DialError::Refused(format!(
                "it counts {stages} stages from there on; use at most {MAX_STAGES} in all"
            )));
        }
        Ok(stages)
    }
}

fn status_error(status: &tonic::Status) -> DialError {
    match status.code() {
        Code::Unimplemented => DialError::Refused(
            "it serves no other clouds: it holds the middle's first layers, or is no tricorn cloud"
                .to_owned(),
        ),
        _ => DialError::Unreachable(describe(status)),
    }
}

/// A broken stream in one line.
pub(crate) fn describe(status: &tonic::Status) -> String {
    match std::error::Error::source(status) {
        Some(source) => root_cause(source),
        None if status.message().is_empty() => status.code().to_string(),
        None => status.message().to_owned(),
    }
}

/// The innermost error's text: "transport error" alone helps nobody.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
