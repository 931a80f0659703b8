//! Session of a device: its stream's task reads what the device sends, checks it and hands it to
//! the driver.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tonic::{Request, Streaming};
use tracing::{
    field::{DisplayValue, display},
    info,
};
use tricorn_core::{AppendError, AppendHeader, Arrival, HiddenCodec, SessionLimits};
use tricorn_wire::{Append, Downlink, ErrorCode, Failure, Open, Opened, Uplink, WireError, proto};

use crate::{
    Served,
    clock::Clock,
    command::{AppendRows, Command, NewSession},
    connections::Peer,
    failures::{append_failure, shutting_down, stage_failure, transport_failure},
    load::LoadGauge,
    outbox::Outbox,
    queue::RowQueue,
};

/// How long the answers of a session that is over wait to be read.
const UNREAD_KEPT: Duration = Duration::from_secs(10);

/// What the sessions of a cloud have in common.
#[derive(Debug)]
pub(crate) struct SessionContext {
    pub(crate) served: Served,
    pub(crate) hidden: usize,
    pub(crate) limits: SessionLimits,
    pub(crate) idle_timeout: Duration,
    pub(crate) open_timeout: Duration,
    pub(crate) clock: Clock,
    pub(crate) load: Arc<LoadGauge>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) draining: AtomicBool,
}

pub(crate) struct SessionTask {
    context: Arc<SessionContext>,
    id: u64,
    uplink: Streaming<proto::Uplink>,
    /// The other end of the connection that the stream came over.
    peer: Option<Peer>,
    outbox: Arc<Outbox>,
    log: SessionLog,
}

/// What is logged of a session once it is over. Never what it computes.
#[derive(Debug, Default)]
struct SessionLog {
    /// When it was opened.
    opened: Option<Duration>,
    appends: u64,
    rows: usize,
}

/// Reason why a session ends on the device's side.
enum Ending {
    /// The device said so, or is gone, or the driver ended the session.
    Quiet,
    Failed(Failure),
}

impl SessionTask {
    pub(crate) fn new(
        context: Arc<SessionContext>,
        id: u64,
        request: Request<Streaming<proto::Uplink>>,
        outbox: Arc<Outbox>,
    ) -> Self {
        let peer = request.extensions().get::<Peer>().cloned();
        let log = SessionLog::default();
        Self { context, id, uplink: request.into_inner(), peer, outbox, log }
    }

    pub(crate) async fn run(mut self) {
        let Err(ending) = self.serve().await;
        match ending {
            Ending::Quiet => self.outbox.end(None),
            Ending::Failed(failure) => {
                let code = failure.code.as_str_name();
                info!(session = self.id, peer = self.peer(), code, "device refused");
                self.outbox.end(Some(failure));
            }
        }
        self.log_end();
        // Fails only when there is no driver, and so no session to close.
        let _ = self.context.commands.send(Command::Close { session: self.id }).await;
        // A device that ends session after session and reads nothing must not pile up answers.
        let Self { outbox, context, uplink, .. } = self;
        drop((context, uplink));
        sleep(UNREAD_KEPT).await;
        outbox.forget();
    }

    fn log_end(&self) {
        let SessionLog { opened: Some(opened), appends, rows } = self.log else { return };
        let seconds = self.context.clock.now().saturating_sub(opened).as_secs_f64();
        let reason = self.outbox.code().map_or("none", |code| code.as_str_name());
        info!(
            session = self.id,
            peer = self.peer(),
            seconds,
            appends,
            rows,
            reason,
            "session closed"
        );
    }

    fn peer(&self) -> Option<DisplayValue<SocketAddr>> {
        self.peer.as_ref().map(|peer| display(peer.addr))
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, Ending> {
        let open = match timeout(self.context.open_timeout, self.next()).await {
            Ok(message) => match message? {
                Uplink::Open(open) => open,
                Uplink::Append(_) | Uplink::Close => {
                    return Err(out_of_turn("the first message of a session must be Open"));
                }
            },
            Err(_) => return Err(silent("no Open arrived in time; send it first")),
        };
        let (codec, limits) = self.open(&open).await?;
        let queue = RowQueue::new(limits.max_queued_rows, Arc::clone(&self.context.load));
        let mut epoch = 0;
        loop {
            let message = match timeout(self.context.idle_timeout, self.next()).await {
                Ok(message) => message?,
                Err(_) if !queue.is_empty() => continue,
                Err(_) => {
                    return Err(silent("nothing was heard for too long; reconnect and replay"));
                }
            };
            match message {
                Uplink::Append(append) => {
                    let meter = self.peer.as_ref().map(|peer| &peer.meter);
                    let received = meter.and_then(|meter| meter.received(append.rows.len()));
                    let arrival = Arrival { at: self.context.clock.now(), received };
                    let values = self.decode(&append, codec, limits)?;
                    let AppendHeader { epoch: newest, rows: count, .. } = append.header;
                    if newest > epoch {
                        epoch = newest;
                        self.until_ended(queue.room_for_newer_epoch(count)).await?;
                    } else {
                        self.until_ended(queue.room_for(count)).await?;
                    }
                    let rows = AppendRows { values, _queued: queue.push(count) };
                    self.log.appends += 1;
                    self.log.rows += count;
                    let (session, header) = (self.id, append.header);
                    self.tell(Command::Append { session, header, rows, arrival }).await?;
                }
                Uplink::Close => return Err(Ending::Quiet),
                Uplink::Open(_) => {
                    return Err(out_of_turn(
                        "Open came twice; open another stream for another session",
                    ));
                }
            }
        }
    }

    async fn next(&mut self) -> Result<Uplink, Ending> {
        let message = tokio::select! {
            () = self.outbox.ended() => return Err(Ending::Quiet),
            () = self.context.commands.closed() => return Err(self.stopped()),
            message = self.uplink.message() => message,
        };
        match message {
            Ok(Some(message)) => Uplink::try_from(message).map_err(|error| wire_failure(&error)),
            Ok(None) => Err(Ending::Quiet),
            Err(status) => Err(transport_failure(&status).map_or(Ending::Quiet, Ending::Failed)),
        }
    }

    async fn until_ended(&self, work: impl Future<Output = ()>) -> Result<(), Ending> {
        tokio::select! {
            () = self.outbox.ended() => Err(Ending::Quiet),
            () = work => Ok(()),
        }
    }

    async fn tell(&self, command: Command) -> Result<(), Ending> {
        self.context.commands.send(command).await.map_err(|_| self.stopped())
    }

    /// There is no driver any more.
    fn stopped(&self) -> Ending {
        if self.context.draining.load(Ordering::Acquire) {
            Ending::Failed(shutting_down())
        } else {
            fail(
                ErrorCode::Internal,
                "the cloud's scheduler has stopped; reconnect elsewhere".to_owned(),
            )
        }
    }

    async fn open(&mut self, open: &Open) -> Result<(HiddenCodec, SessionLimits), Ending> {
        let codec = self.agree(open)?;
        if self.context.draining.load(Ordering::Acquire) {
            return Err(Ending::Failed(shutting_down()));
        }
        if let Some(lost) = self.context.load.stage_lost() {
            return Err(Ending::Failed(stage_failure(&lost)));
        }
        let Some(permit) = self.context.load.enter() else {
            let message = format!(
                "all {} sessions are taken; try again later or elsewhere",
                self.context.load.max_sessions()
            );
            return Err(fail(ErrorCode::Busy, message));
        };
        let most = self.context.limits;
        let context = open.context.map_or(most.context, |wanted| wanted.min(most.context));
        let limits = SessionLimits { context, ..most };
        // An empty outbox takes it; only a device that has gone does not, and then the next read
        // says so.
        let _ = self.outbox.push(Downlink::Opened(Opened {
            codec,
            limits,
            session_id: self.id,
            load: self.context.load.snapshot(true),
        }));
        self.tell(Command::Open(NewSession {
            id: self.id,
            limits,
            codec,
            outbox: Arc::clone(&self.outbox),
            permit,
        }))
        .await?;
        self.log.opened = Some(self.context.clock.now());
        info!(session = self.id, peer = self.peer(), "session opened");
        Ok((codec, limits))
    }

    fn agree(&self, open: &Open) -> Result<HiddenCodec, Ending> {
        let served = &self.context.served;
        if open.fingerprint != served.fingerprint {
            let message = format!(
                "the device holds model {}, this cloud serves {}; use the same model",
                open.fingerprint, served.fingerprint
            );
            return Err(fail(ErrorCode::WrongModel, message));
        }
        if open.split != served.split {
            let message = format!(
                "the device splits the model at {}, this cloud at {}; use the same split",
                open.split, served.split
            );
            return Err(fail(ErrorCode::WrongSplit, message));
        }
        if open.hidden != self.context.hidden {
            let message = format!(
                "the device's hidden rows have {} values, this cloud's {}",
                open.hidden, self.context.hidden
            );
            return Err(fail(ErrorCode::WrongHidden, message));
        }
        if let Some(message) = served.formats.mismatch("this cloud", open.formats, "the device") {
            return Err(fail(ErrorCode::WrongModel, message));
        }
        let common = open.codecs.iter().copied().find(|codec| HiddenCodec::ALL.contains(codec));
        common.ok_or_else(|| {
            fail(ErrorCode::NoCodec, "no codec in common; offer f16z, f16 or f32".to_owned())
        })
    }

    /// The rows, once what is cheap to check has been.
    fn decode(
        &self,
        append: &Append,
        codec: HiddenCodec,
        limits: SessionLimits,
    ) -> Result<Vec<f32>, Ending> {
        let (rows, limit) = (append.header.rows, limits.max_append_rows);
        if rows > limit {
            return Err(Ending::Failed(append_failure(&AppendError::TooManyRows { rows, limit })));
        }
        append.decode(codec, self.context.hidden).map_err(|error| wire_failure(&error))
    }
}

fn fail(code: ErrorCode, message: String) -> Ending {
    Ending::Failed(Failure { code, message })
}

fn out_of_turn(text: &str) -> Ending {
    fail(ErrorCode::BadMessage, text.to_owned())
}

fn silent(text: &str) -> Ending {
    fail(ErrorCode::Deadline, text.to_owned())
}

fn wire_failure(error: &WireError) -> Ending {
    fail(error.code(), error.to_string())
}
