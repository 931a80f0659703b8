//! Service of a later stage: one task for each upstream's stream.

use std::{
    convert::Infallible,
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tonic::{Request, Response, Status, Streaming, async_trait};
use tracing::{field::display, info};
use tricorn_wire::{ErrorCode, Failure, StageBatch, StageOpen, StageUp, WireError, proto};

use super::{
    replies::{Over, Replies, ReplyStream, replies},
    worker::{Command, Job, JobRows},
};
use crate::{Served, clock::Clock, connections::Peer, failures::transport_failure};

/// First stages, or stages before this one, that may be connected at a time.
const UPSTREAMS: usize = 16;

/// What every upstream's task needs to know.
#[derive(Debug)]
pub(crate) struct UpstreamContext {
    pub(crate) served: Served,
    pub(crate) held: Range<usize>,
    pub(crate) hidden: usize,
    pub(crate) context: usize,
    pub(crate) max_sessions: usize,
    pub(crate) max_batch_rows: usize,
    /// Batches of one upstream that may wait here.
    pub(crate) window: usize,
    pub(crate) open_timeout: Duration,
    pub(crate) clock: Clock,
    pub(crate) commands: mpsc::Sender<Command>,
}

pub(crate) struct StageService {
    context: Arc<UpstreamContext>,
    upstreams: Arc<Semaphore>,
    last_lane: AtomicU64,
}

struct UpstreamTask {
    context: Arc<UpstreamContext>,
    lane: u64,
    /// The other end of its connection.
    peer: Option<SocketAddr>,
    up: Streaming<proto::StageUp>,
    over: Over,
    _place: OwnedSemaphorePermit,
}

/// Reason why a stream ends on the upstream's side.
enum Ending {
    /// It is gone, or the worker has ended the stream.
    Quiet,
    Failed(Failure),
}

impl StageService {
    pub(crate) fn new(context: UpstreamContext) -> Self {
        Self {
            context: Arc::new(context),
            upstreams: Arc::new(Semaphore::new(UPSTREAMS)),
            last_lane: AtomicU64::new(0),
        }
    }
}

#[async_trait]
impl proto::stage_server::Stage for StageService {
    type RunStream = ReplyStream;

    async fn run(
        &self,
        request: Request<Streaming<proto::StageUp>>,
    ) -> Result<Response<ReplyStream>, Status> {
        let (replies, over, stream) = replies(self.context.window);
        match Arc::clone(&self.upstreams).try_acquire_owned() {
            Ok(place) => {
                let lane = self.last_lane.fetch_add(1, Ordering::Relaxed) + 1;
                let task = UpstreamTask {
                    context: Arc::clone(&self.context),
                    lane,
                    peer: request.extensions().get::<Peer>().map(|peer| peer.addr),
                    up: request.into_inner(),
                    over,
                    _place: place,
                };
                tokio::spawn(task.run(replies));
            }
            Err(_) => replies.end(failure(
                ErrorCode::Busy,
                format!("all {UPSTREAMS} places for other clouds are taken; try again later"),
            )),
        }
        Ok(Response::new(stream))
    }
}

impl UpstreamTask {
    async fn run(mut self, replies: Replies) {
        let StageOpen { context, max_sessions, max_batch_rows, .. } = match self.open().await {
            Ok(open) => open,
            Err(Ending::Failed(failure)) => {
                self.log_refused(&failure);
                return replies.end(failure);
            }
            Err(Ending::Quiet) => return,
        };
        let lane = self.lane;
        info!(lane, peer = self.peer.map(display), "stage before connected");
        // Telling fails only when there is no worker, which ends the stream as well.
        let _ = self
            .context
            .commands
            .send(Command::Open { lane, context, max_sessions, replies })
            .await;
        let Err(ending) = self.serve(max_batch_rows).await;
        let failure = match ending {
            Ending::Quiet => None,
            Ending::Failed(failure) => {
                self.log_refused(&failure);
                Some(failure)
            }
        };
        info!(lane, peer = self.peer.map(display), "stage before disconnected");
        let _ = self.context.commands.send(Command::Close { lane, failure }).await;
    }

    fn log_refused(&self, failure: &Failure) {
        let (peer, code) = (self.peer.map(display), failure.code.as_str_name());
        info!(lane = self.lane, peer, code, "stage before refused");
    }

    /// The first message, if it fits what is here.
    async fn open(&mut self) -> Result<StageOpen, Ending> {
        match timeout(self.context.open_timeout, self.next()).await {
            Ok(message) => match message? {
                StageUp::Open(open) => {
                    self.context.check(&open).map(|()| open).map_err(Ending::Failed)
                }
                StageUp::Batch(_) => {
                    Err(bad_message("the first message of a stage's stream must be StageOpen"))
                }
            },
            Err(_) => Err(Ending::Failed(failure(
                ErrorCode::Deadline,
                "no StageOpen arrived in time; send it first".to_owned(),
            ))),
        }
    }

    async fn serve(&mut self, max_batch_rows: usize) -> Result<Infallible, Ending> {
        let places = Arc::new(Semaphore::new(self.context.window));
        loop {
            let StageUp::Batch(batch) = self.next().await? else {
                return Err(bad_message("StageOpen came twice; open another stream"));
            };
            let arrived = self.context.clock.now();
            let x = self.decode(&batch, max_batch_rows)?;
            // An upstream that sends more than there is room for waits; answers go on all the same.
            let permit = tokio::select! {
                _ = &mut self.over => return Err(Ending::Quiet),
                permit = Arc::clone(&places).acquire_owned() => permit.map_err(|_| Ending::Quiet)?,
            };
            let StageBatch { id, entries, closed, .. } = batch;
            let payload = JobRows { x, failed: Vec::new(), _permit: permit };
            let job = Job { lane: self.lane, id, entries, closed, arrived, payload };
            self.context.commands.send(Command::Batch(job)).await.map_err(|_| Ending::Quiet)?;
        }
    }

    async fn next(&mut self) -> Result<StageUp, Ending> {
        let message = tokio::select! {
            _ = &mut self.over => return Err(Ending::Quiet),
            () = self.context.commands.closed() => return Err(Ending::Quiet),
            message = self.up.message() => message,
        };
        match message {
            Ok(Some(message)) => StageUp::try_from(message).map_err(|error| wire_failure(&error)),
            Ok(None) => Err(Ending::Quiet),
            Err(status) => Err(transport_failure(&status).map_or(Ending::Quiet, Ending::Failed)),
        }
    }

    fn decode(&self, batch: &StageBatch, most: usize) -> Result<Vec<f32>, Ending> {
        let rows = batch.row_count();
        if rows > most {
            let message = format!(
                "a batch of {rows} rows, where at most {most} were announced; send smaller batches"
            );
            return Err(Ending::Failed(failure(ErrorCode::TooLarge, message)));
        }
        batch.decode(self.context.hidden).map_err(|error| wire_failure(&error))
    }
}

impl UpstreamContext {
    fn check(&self, open: &StageOpen) -> Result<(), Failure> {
        let (served, held) = (&self.served, &self.held);
        if open.fingerprint != served.fingerprint {
            let message = format!(
                "the stage before holds model {}, this one {}; give both the same model",
                open.fingerprint, served.fingerprint
            );
            return Err(failure(ErrorCode::WrongModel, message));
        }
        if open.split != served.split {
            let message = format!(
                "the stage before splits the model at {}, this one at {}; use the same --split",
                open.split, served.split
            );
            return Err(failure(ErrorCode::WrongSplit, message));
        }
        if open.hidden != self.hidden {
            let message = format!(
                "the stage before has hidden rows of {} values, this one of {}",
                open.hidden, self.hidden
            );
            return Err(failure(ErrorCode::WrongHidden, message));
        }
        if let Some(message) = served.formats.mismatch("this one", open.formats, "the stage before")
        {
            return Err(failure(ErrorCode::WrongModel, message));
        }
        if open.first_layer != held.start {
            let message = format!(
                "the stage before ends before layer {}, this one has layers {}..{}; give it \
                 --layers {}..B",
                open.first_layer, held.start, held.end, open.first_layer
            );
            return Err(failure(ErrorCode::WrongStage, message));
        }
        let at_most = |what, flag, wanted, granted| {
            if wanted <= granted {
                return Ok(());
            }
            let message = format!(
                "the stage before may send {wanted} {what}, this one takes {granted}; give both \
                 the same {flag}"
            );
            Err(failure(ErrorCode::WrongStage, message))
        };
        at_most("tokens a session", "model", open.context, self.context)?;
        at_most("sessions", "--max-sessions", open.max_sessions, self.max_sessions)?;
        at_most(
            "rows a batch",
            "--batch-rows and --max-append-rows",
            open.max_batch_rows,
            self.max_batch_rows,
        )
    }
}

fn failure(code: ErrorCode, message: String) -> Failure {
    Failure { code, message }
}

fn bad_message(text: &str) -> Ending {
    Ending::Failed(failure(ErrorCode::BadMessage, text.to_owned()))
}

fn wire_failure(error: &WireError) -> Ending {
    Ending::Failed(failure(error.code(), error.to_string()))
}
