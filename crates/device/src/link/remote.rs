//! A cloud over gRPC.

use super::{Answer, Backoff, Connected, DEADLINE, Link, LinkError, Traffic};
use crate::Cancel;
use prost::Message;
use std::time::{Duration, Instant};
use tokio::{runtime::Handle, sync::mpsc, time::timeout};

use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tricorn_core::{AppendHeader, Fingerprint, Formats, HiddenCodec, SessionLimits, Split};
use tricorn_wire::{
    Append, Downlink, ErrorCode, Failure, Open, Opened, Uplink,
    limits::max_message_bytes,
    proto,
    transport::{client, endpoint},
};

/// Where the cloud is and how long to wait for it.
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

/// What the device shows when it opens a session.
#[derive(Clone, Copy, Debug)]
struct Identity {
    fingerprint: Fingerprint,
    split: Split,
    hidden: usize,
    /// The codec to ask for; where the cloud does not know it, another that rounds alike.
    codec: HiddenCodec,
    context: usize,
    formats: Formats,
}

/// A session on a cloud. Its methods block: call them from a thread that is not one of the
/// runtime's own.
#[derive(Debug)]
pub struct RemoteLink {
    config: RemoteConfig,
    identity: Identity,
    runtime: Handle,
    cancel: Cancel,
    session: Option<Session>,
    traffic: Traffic,
}

#[derive(Debug)]
struct Session {
    uplink: mpsc::Sender<proto::Uplink>,
    downlink: Streaming<proto::Downlink>,
    /// As granted.
    codec: HiddenCodec,
}

/// Appends that wait for the connection to take them; more wait in [`Link::send`].
const UPLINK_MESSAGES: usize = 4;

impl RemoteLink {
    /// A link that is not yet connected.
    #[must_use]
    pub fn new(config: RemoteConfig, ends: &crate::Ends, runtime: Handle) -> Self {
        let &crate::Ends { fingerprint, split, hidden, codec, context, formats, .. } = ends;
        let identity = Identity { fingerprint, split, hidden, codec, context, formats };
        Self {
            config,
            identity,
            runtime,
            cancel: Cancel::default(),
            session: None,
            traffic: Traffic::default(),
        }
    }

    async fn open(&self) -> Result<(Session, Connected), Attempt> {
        let Identity { fingerprint, split, hidden, codec, context, formats } = self.identity;
        let endpoint = endpoint(&self.config.url).map_err(|error| Attempt::Final(error.into()))?;
        let channel =
            endpoint.connect().await.map_err(|error| Attempt::Failed(root_cause(&error)))?;
        // The cloud's limits are not known yet; a message as long as the whole context is the most
        // there can be.
        let limits = SessionLimits { context, max_append_rows: context, max_queued_rows: context };
        let mut client = client(channel, max_message_bytes(limits, codec, hidden));
        let (uplink, messages) = mpsc::channel(UPLINK_MESSAGES);
        let open = Uplink::Open(Open {
            fingerprint,
            split,
            hidden,
            codecs: codec.offers().to_vec(),
            context: Some(context),
            formats,
        });
        uplink
            .send(open.into())
            .await
            .map_err(|_| Attempt::Failed("the stream closed at once".to_owned()))?;
        let asked = Instant::now();
        let response = client
            .session(ReceiverStream::new(messages))
            .await
            .map_err(|status| Attempt::Failed(unlike_a_cloud(&status)))?;
        let mut downlink = response.into_inner();
        let first =
            downlink.message().await.map_err(|status| Attempt::Failed(unlike_a_cloud(&status)))?;
        let first = first
            .ok_or_else(|| Attempt::Failed("the cloud closed the stream at once".to_owned()))?;
        match Downlink::try_from(first).map_err(|error| Attempt::Failed(error.to_string()))? {
            Downlink::Opened(Opened { codec: granted, .. })
                if !codec.offers().contains(&granted) =>
            {
                Err(Attempt::Failed(format!(
                    "the cloud chose codec {granted}, which was not offered"
                )))
            }
            Downlink::Opened(Opened { codec, limits, load, .. }) => {
                let connected =
                    Connected { limits, round_trip: Some(asked.elapsed()), pace: Some(load.pace) };
                Ok((Session { uplink, downlink, codec }, connected))
            }
            Downlink::Failed(Failure { code: ErrorCode::Busy, message }) => {
                Err(Attempt::NoRoom(message))
            }
            Downlink::Failed(failure) if failure.code.is_transient() => {
                Err(Attempt::Failed(failure.message))
            }
            Downlink::Failed(failure) => Err(Attempt::Final(failure.into())),
            Downlink::Drain => Err(Attempt::Failed("the cloud is shutting down".to_owned())),
            Downlink::Deep(_) => {
                Err(Attempt::Failed("the cloud answered before the session was open".to_owned()))
            }
        }
    }

    /// The next answer; `None` when there is none within `limit`.
    fn receive_within(&mut self, limit: Duration) -> Result<Option<Answer>, LinkError> {
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
                            pace: Some(deep.load.pace),
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
                    return Err(LinkError::Evicted(message));
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

    fn connect_with(&mut self, backoff: Backoff) -> Result<Connected, LinkError> {
        self.session = None;
        let started = Instant::now();
        let mut waits = backoff.waits();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut has_room = true;
            let reason = match wait(&self.runtime, &self.cancel, self.config.deadline, self.open())?
            {
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
                        return Err(LinkError::Cancelled);
                    }
                }
                None if !has_room => return Err(LinkError::NoRoom(reason)),
                None => {
                    return Err(LinkError::Unreachable {
                        url: self.config.url.clone(),
                        attempts,
                        waited: started.elapsed(),
                        reason,
                    });
                }
            }
        }
    }

    fn lost(&mut self, reason: impl Into<String>) -> LinkError {
        self.session = None;
        LinkError::Lost(reason.into())
    }
}

/// How one try to open a session ended.
enum Attempt {
    /// Worth another try.
    Failed(String),
    /// The same, for want of room.
    NoRoom(String),
    /// Not worth one.
    Final(LinkError),
}

/// What `work` comes to; `None` where that takes longer than `limit`, which is not cut short where
/// it is zero.
fn wait<T>(
    runtime: &Handle,
    cancel: &Cancel,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<Option<T>, LinkError> {
    runtime.block_on(async {
        let work = timeout(limit, work);
        if limit.is_zero() {
            return Ok(work.await.ok());
        }
        tokio::select! {
            biased;
            result = work => Ok(result.ok()),
            () = cancel.cancelled() => Err(LinkError::Cancelled),
        }
    })
}

impl Link for RemoteLink {
    fn connect(&mut self) -> Result<Connected, LinkError> {
        self.connect_with(self.config.backoff)
    }

    fn probe(&mut self) -> Result<Connected, LinkError> {
        self.connect_with(Backoff { retries: 0, ..self.config.backoff })
    }

    fn send(&mut self, header: AppendHeader, rows: &[f32]) -> Result<(), LinkError> {
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
                Err(error @ (LinkError::Refused(_) | LinkError::Evicted(_))) => error,
                _ => self.lost(reason),
            });
        }
        self.traffic.up += bytes;
        Ok(())
    }

    fn receive(&mut self) -> Result<Answer, LinkError> {
        let deadline = self.config.deadline;
        match self.receive_within(deadline)? {
            Some(answer) => Ok(answer),
            None => Err(self.lost(format!("no answer within {deadline:?}"))),
        }
    }

    fn try_receive(&mut self) -> Result<Option<Answer>, LinkError> {
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

/// The innermost error's text: "transport error" alone helps nobody.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// What is said of a peer that has taken a connection and has not said a word that a cloud would.
fn unlike_a_cloud(status: &tonic::Status) -> String {
    format!("what listens there does not answer as a cloud does: {}", describe(status))
}

pub(super) fn describe(status: &tonic::Status) -> String {
    match std::error::Error::source(status) {
        Some(source) => root_cause(source),
        None if status.message().is_empty() => status.code().to_string(),
        None => status.message().to_owned(),
    }
}
