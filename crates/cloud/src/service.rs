//! Service of the middle: takes gRPC calls and starts a task for each session's stream.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tonic::{Request, Response, Status, Streaming, async_trait};
use tricorn_core::HiddenCodec;
use tricorn_wire::{Description, proto};

use crate::{
    outbox::{Outbox, OutboxStream},
    session::{SessionContext, SessionTask},
};

pub(crate) struct Service {
    sessions: Arc<SessionContext>,
    /// Answers, in rows, that wait for one device.
    outbox_rows: usize,
    last_session: AtomicU64,
}

impl Service {
    pub(crate) fn new(sessions: Arc<SessionContext>, outbox_rows: usize) -> Self {
        Self { sessions, outbox_rows, last_session: AtomicU64::new(0) }
    }
}

#[async_trait]
impl proto::middle_server::Middle for Service {
    type SessionStream = OutboxStream;

    async fn describe(
        &self,
        _: Request<proto::DescribeRequest>,
    ) -> Result<Response<proto::DescribeResponse>, Status> {
        let SessionContext { served, hidden, limits, load, .. } = &*self.sessions;
        let description = Description {
            fingerprint: served.fingerprint,
            split: served.split,
            hidden: *hidden,
            layers: served.layers,
            codecs: HiddenCodec::ALL.to_vec(),
            limits: *limits,
            load: load.snapshot(true),
            formats: served.formats,
        };
        Ok(Response::new(description.into()))
    }

    async fn session(
        &self,
        request: Request<Streaming<proto::Uplink>>,
    ) -> Result<Response<OutboxStream>, Status> {
        let (outbox, stream) = Outbox::new(self.outbox_rows);
        let id = self.last_session.fetch_add(1, Ordering::Relaxed) + 1;
        tokio::spawn(SessionTask::new(Arc::clone(&self.sessions), id, request, outbox).run());
        Ok(Response::new(stream))
    }
}
