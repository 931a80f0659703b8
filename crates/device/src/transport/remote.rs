//! Remote transport: a cloud over gRPC.

use super::{
    answer::{Answer, Connected, Traffic},
    contract::{DEADLINE, Transport},
    error::TransportError,
    opening::{Attempt, Identity, Session, open},
    status::describe,
};
use crate::{cancel::Cancel, parts::DeviceParts};
use prost::Message;
use std::time::{Duration, Instant};
use tokio::{runtime::Handle, sync::mpsc, time::timeout};
use tricorn_core::{AppendHeader, driver::Backoff};
use tricorn_wire::{Append, Downlink, ErrorCode, Failure, Uplink, proto};

/// Address of a cloud, and the waits for it.
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    /// `http://HOST:PORT` or `HOST:PORT`.
    pub url: String,
    /// A cloud that leaves an append unanswered for this long is taken for dead, and so is one that
    /// has not opened a session by then.
    pub deadline: Duration,
    /// Tries to reach it.
    pub backoff: Backoff,
}

impl RemoteConfig {
    /// The defaults for a cloud at `url`: 30 seconds' deadline.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), deadline: DEADLINE, backoff: Backoff::default() }
    }
}

/// A session on a cloud. Its methods block: call them from a thread that is not one of the
/// runtime's own.
#[derive(Debug)]
pub struct RemoteTransport {
    config: RemoteConfig,
    identity: Identity,
    runtime: Handle,
    cancel: Cancel,
    session: Option<Session>,
    traffic: Traffic,
}

impl RemoteTransport {
    /// One that is not yet connected.
    #[must_use]
    pub fn new(config: RemoteConfig, parts: &DeviceParts, runtime: Handle) -> Self {
        Self {
            config,
            identity: Identity::of(parts),
            runtime,
            cancel: Cancel::default(),
            session: None,
            traffic: Traffic::default(),
        }
    }

    /// The next answer; `None` when there is none within `limit`.
    fn receive_within(&mut self, limit: Duration) -> Result<Option<Answer>, TransportError> {
        let (begun, mut draining) = (Instant::now(), false);
        loop {
            let limit = limit.saturating_sub(begun.elapsed());
            let Some(session) = &mut self.session else {
                return Err(self.lost("no session is open"));
            };
            let message =
                match wait(&self.runtime, &self.cancel, limit, session.downlink.message())? {
                    Some(Ok(Some(message))) => message,
                    Some(Ok(None)) => return Err(self.lost("the cloud ended the stream")),
                    Some(Err(status)) => return Err(self.lost(describe(&status))),
                    None => return Ok(None),
                };
            let bytes = message.encoded_len() as u64;
            self.traffic.down += bytes;
            let answer = match Downlink::try_from(message) {
                Ok(answer) => answer,
                Err(error) => return Err(self.lost(error.to_string())),
            };
            match answer {
                Downlink::Deep(deep) => {
                    return match deep.decode(session.codec, self.identity.hidden) {
                        Ok(rows) => Ok(Some(Answer {
                            header: deep.header,
                            rows,
                            timing: deep.timing,
                            throughput: Some(deep.load.throughput),
                            bytes,
                        })),
                        Err(error) => Err(self.lost(error.to_string())),
                    };
                }
                // What was accepted is still answered; the end of the stream follows.
                Downlink::Drain if !draining => draining = true,
                Downlink::Drain => {
                    return Err(
                        self.lost("the cloud says again and again that it is shutting down")
                    );
                }
                Downlink::Failed(Failure { code: ErrorCode::Busy, message }) => {
                    self.session = None;
                    return Err(TransportError::Evicted(message));
                }
                Downlink::Failed(Failure { code, message }) if code.is_transient() => {
                    return Err(self.lost(message));
                }
                Downlink::Failed(failure) => {
                    self.session = None;
                    return Err(failure.into());
                }
                Downlink::Opened(_) => return Err(self.lost("the cloud opened the session twice")),
            }
        }
    }

    fn connect_with(&mut self, backoff: Backoff) -> Result<Connected, TransportError> {
        self.session = None;
        let started = Instant::now();
        let mut waits = backoff.waits();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut has_room = true;
            let opening = open(&self.config.url, self.identity);
            let reason = match wait(&self.runtime, &self.cancel, self.config.deadline, opening)? {
                Some(Ok((session, connected))) => {
                    self.session = Some(session);
                    return Ok(connected);
                }
                Some(Err(Attempt::Final(error))) => return Err(error),
                Some(Err(Attempt::Failed(reason))) => reason,
                Some(Err(Attempt::NoRoom(reason))) => {
                    has_room = false;
                    reason
                }
                None => format!("no answer within {:?}", self.config.deadline),
            };
            // The deadline is for all tries together: one that never answers is waited for once.
            match waits.next().filter(|_| started.elapsed() < self.config.deadline) {
                Some(wait) => {
                    self.cancel.sleep(wait);
                    if self.cancel.reason().is_some() {
                        return Err(TransportError::Cancelled);
                    }
                }
                None if !has_room => return Err(TransportError::NoRoom(reason)),
                None => {
                    return Err(TransportError::Unreachable {
                        url: self.config.url.clone(),
                        attempts,
                        waited: started.elapsed(),
                        reason,
                    });
                }
            }
        }
    }

    fn lost(&mut self, reason: impl Into<String>) -> TransportError {
        self.session = None;
        TransportError::Lost(reason.into())
    }
}

/// The result of `work`; `None` where that takes longer than `limit`, which is not cut short where
/// it is zero.
fn wait<T>(
    runtime: &Handle,
    cancel: &Cancel,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<Option<T>, TransportError> {
    runtime.block_on(async {
        let work = timeout(limit, work);
        if limit.is_zero() {
            return Ok(work.await.ok());
        }
        tokio::select! {
            biased;
            result = work => Ok(result.ok()),
            () = cancel.cancelled() => Err(TransportError::Cancelled),
        }
    })
}

impl Transport for RemoteTransport {
    fn connect(&mut self) -> Result<Connected, TransportError> {
        self.connect_with(self.config.backoff)
    }

    fn probe(&mut self) -> Result<Connected, TransportError> {
        self.connect_with(Backoff { retries: 0, ..self.config.backoff })
    }

    fn send(&mut self, header: AppendHeader, rows: &[f32]) -> Result<(), TransportError> {
        let Some(session) = &self.session else { return Err(self.lost("no session is open")) };
        let append = Append::encode(header, session.codec, self.identity.hidden, rows)?;
        let message = proto::Uplink::from(Uplink::Append(append));
        let bytes = message.encoded_len() as u64;
        let sent = match session.uplink.try_send(message) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err("the stream is closed"),
            Err(mpsc::error::TrySendError::Full(message)) => {
                match wait(
                    &self.runtime,
                    &self.cancel,
                    self.config.deadline,
                    session.uplink.send(message),
                )? {
                    Some(Ok(())) => Ok(()),
                    Some(Err(_)) => Err("the stream is closed"),
                    None => Err("the link takes no data"),
                }
            }
        };
        if let Err(reason) = sent {
            // The cloud's last word, if it sent one, says more than a closed stream.
            return Err(match self.receive() {
                Err(error @ (TransportError::Refused(_) | TransportError::Evicted(_))) => error,
                _ => self.lost(reason),
            });
        }
        self.traffic.up += bytes;
        Ok(())
    }

    fn receive(&mut self) -> Result<Answer, TransportError> {
        let deadline = self.config.deadline;
        match self.receive_within(deadline)? {
            Some(answer) => Ok(answer),
            None => Err(self.lost(format!("no answer within {deadline:?}"))),
        }
    }

    fn try_receive(&mut self) -> Result<Option<Answer>, TransportError> {
        self.receive_within(Duration::ZERO)
    }

    fn interrupt_by(&mut self, cancel: &Cancel) {
        self.cancel = cancel.clone();
    }

    fn deadline(&self) -> Duration {
        self.config.deadline
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }
}
