//! Opening a session on a cloud.

use super::{
    answer::Connected,
    error::TransportError,
    status::{root_cause, unlike_a_cloud},
};
use crate::parts::DeviceParts;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tricorn_core::{Fingerprint, Formats, HiddenCodec, SessionLimits, Split};
use tricorn_wire::{
    Downlink, ErrorCode, Failure, Open, Opened, Uplink,
    limits::max_message_bytes,
    proto,
    transport::{client, endpoint},
};

/// Appends that wait for the connection to take them; more wait in
/// [`Transport::send`](super::Transport::send).
const UPLINK_MESSAGES: usize = 4;

/// Identity that a device shows when it opens a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) fingerprint: Fingerprint,
    pub(super) split: Split,
    pub(super) hidden: usize,
    /// The codec to ask for; where the cloud does not know it, another that rounds alike.
    pub(super) codec: HiddenCodec,
    pub(super) context: usize,
    pub(super) formats: Formats,
}

impl Identity {
    /// The identity of a device with these parts.
    pub(super) fn of(parts: &DeviceParts) -> Self {
        let &DeviceParts { fingerprint, split, hidden, codec, context, formats, .. } = parts;
        Self { fingerprint, split, hidden, codec, context, formats }
    }
}

/// A session that was opened.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) uplink: mpsc::Sender<proto::Uplink>,
    pub(super) downlink: Streaming<proto::Downlink>,
    /// As granted.
    pub(super) codec: HiddenCodec,
}

/// A try to open a session that failed.
pub(super) enum Attempt {
    /// Worth another try.
    Failed(String),
    /// The same, for want of room.
    NoRoom(String),
    /// Not worth one.
    Final(TransportError),
}

/// Opens a session on the cloud at `url`, with one try.
pub(super) async fn open(url: &str, identity: Identity) -> Result<(Session, Connected), Attempt> {
    let Identity { fingerprint, split, hidden, codec, context, formats } = identity;
    let endpoint = endpoint(url).map_err(|error| Attempt::Final(error.into()))?;
    let channel = endpoint.connect().await.map_err(|error| Attempt::Failed(root_cause(&error)))?;
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
    let first =
        first.ok_or_else(|| Attempt::Failed("the cloud closed the stream at once".to_owned()))?;
    match Downlink::try_from(first).map_err(|error| Attempt::Failed(error.to_string()))? {
        Downlink::Opened(Opened { codec: granted, .. }) if !codec.offers().contains(&granted) => {
            Err(Attempt::Failed(format!("the cloud chose codec {granted}, which was not offered")))
        }
        Downlink::Opened(Opened { codec, limits, load, .. }) => {
            let connected = Connected {
                limits,
                round_trip: Some(asked.elapsed()),
                throughput: Some(load.throughput),
            };
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
