//! One stream's task: reads what the device sends, checks it and hands it to the scheduler.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Status, Streaming};
use tricorn_core::{AppendError, AppendHeader, HiddenCodec, SessionLimits};
use tricorn_wire::{Append, Downlink, ErrorCode, Failure, Open, Opened, Uplink, WireError, proto};

use crate::{
    meter::Meter,
    outbox::Outbox,
    queue::RowQueue,
    scheduler::{Arrival, Command, NewSession, Rows, append_failure, shutting_down, stage_failure},
    service::Shared,
};

/// How long the answers of a session that is over wait to be read.
const UNREAD_KEPT: Duration = Duration::from_secs(10);

pub(crate) struct SessionTask {
    shared: Arc<Shared>,
    id: u64,
    uplink: Streaming<proto::Uplink>,
    /// Of the connection that the stream came over.
    meter: Option<Arc<Meter>>,
    outbox: Arc<Outbox>,
}

/// Why a session ends on the device's side.
enum Ending {
    /// The device said so, or is gone, or the scheduler ended the session.
    Quiet,
    Failed(Failure),
}

impl SessionTask {
    pub(crate) fn new(
        shared: Arc<Shared>,
        id: u64,
        request: Request<Streaming<proto::Uplink>>,
        outbox: Arc<Outbox>,
    ) -> Self {
        let meter = request.extensions().get::<Arc<Meter>>().cloned();
        Self { shared, id, uplink: request.into_inner(), meter, outbox }
    }

    pub(crate) async fn run(mut self) {
        let Err(ending) = self.serve().await;
        match ending {
            Ending::Quiet => self.outbox.end(None),
            Ending::Failed(failure) => self.outbox.end(Some(failure)),
        }
        // Fails only when there is no scheduler, and so no session to close.
        let _ = self.shared.commands.send(Command::Close { session: self.id }).await;
        // A device that ends session after session and reads nothing must not pile up answers.
        let Self { outbox, shared, uplink, .. } = self;
        drop((shared, uplink));
        sleep(UNREAD_KEPT).await;
        outbox.forget();
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, Ending> {
        let open = match timeout(self.shared.open_timeout, self.next()).await {
            Ok(message) => match message? {
                Uplink::Open(open) => open,
                Uplink::Append(_) | Uplink::Close => {
                    return Err(out_of_turn("the first message of a session must be Open"));
                }
            },
            Err(_) => return Err(silent("no Open arrived in time; send it first")),
        };
        let (codec, limits) = self.open(&open).await?;
        let queue = RowQueue::new(limits.max_queued_rows, Arc::clone(&self.shared.load));
        let mut epoch = 0;
        loop {
            let message = match timeout(self.shared.idle_timeout, self.next()).await {
                Ok(message) => message?,
                Err(_) if !queue.is_empty() => continue,
                Err(_) => {
                    return Err(silent("nothing was heard for too long; reconnect and replay"));
                }
            };
            match message {
                Uplink::Append(append) => {
                    let received =
                        self.meter.as_ref().and_then(|meter| meter.received(append.rows.len()));
                    let arrival = Arrival { at: Instant::now(), received };
                    let values = self.decode(&append, codec, limits)?;
                    let AppendHeader { epoch: newest, rows: count, .. } = append.header;
                    if newest > epoch {
                        epoch = newest;
                        self.until_ended(queue.room_for_newer_epoch(count)).await?;
                    } else {
                        self.until_ended(queue.room_for(count)).await?;
                    }
                    let rows = Rows { values, arrival, _queued: queue.push(count) };
                    self.tell(Command::Append { session: self.id, header: append.header, rows })
                        .await?;
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
            () = self.shared.commands.closed() => return Err(self.stopped()),
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
        self.shared.commands.send(command).await.map_err(|_| self.stopped())
    }

    /// There is no scheduler any more.
    fn stopped(&self) -> Ending {
        if self.shared.draining.load(Ordering::Acquire) {
            Ending::Failed(shutting_down())
        } else {
            fail(
                ErrorCode::Internal,
                "the cloud's scheduler has stopped; reconnect elsewhere".to_owned(),
            )
        }
    }

    async fn open(&self, open: &Open) -> Result<(HiddenCodec, SessionLimits), Ending> {
        let shared = &self.shared;
        let codec = self.agree(open)?;
        if shared.draining.load(Ordering::Acquire) {
            return Err(Ending::Failed(shutting_down()));
        }
        if let Some(lost) = shared.load.stage_lost() {
            return Err(Ending::Failed(stage_failure(&lost)));
        }
        let Some(slot) = shared.load.enter() else {
            let message = format!(
                "all {} sessions are taken; try again later or elsewhere",
                shared.load.max_sessions()
            );
            return Err(fail(ErrorCode::Busy, message));
        };
        let context =
            open.context.map_or(shared.limits.context, |wanted| wanted.min(shared.limits.context));
        let limits = SessionLimits { context, ..shared.limits };
        // An empty outbox takes it; only a device that has gone does not, and then the next read
        // says so.
        let _ = self.outbox.push(Downlink::Opened(Opened {
            codec,
            limits,
            session_id: self.id,
            load: shared.load.snapshot(true),
        }));
        self.tell(Command::Open(NewSession {
            id: self.id,
            limits,
            codec,
            outbox: Arc::clone(&self.outbox),
            slot,
        }))
        .await?;
        Ok((codec, limits))
    }

    fn agree(&self, open: &Open) -> Result<HiddenCodec, Ending> {
        let served = &self.shared.served;
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
        if open.hidden != self.shared.hidden {
            let message = format!(
                "the device's hidden rows have {} values, this cloud's {}",
                open.hidden, self.shared.hidden
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
        append.decode(codec, self.shared.hidden).map_err(|error| wire_failure(&error))
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

/// tonic's own refusals become the contract's errors; anything else is a connection that is gone.
pub(crate) fn transport_failure(status: &Status) -> Option<Failure> {
    let code = match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => ErrorCode::TooLarge,
        Code::Internal => ErrorCode::BadMessage,
        _ => return None,
    };
    Some(Failure { code, message: status.message().lines().next().unwrap_or_default().to_owned() })
}
