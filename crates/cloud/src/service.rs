//! The gRPC service: one task per stream.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming, async_trait};
use tricorn_core::{HiddenCodec, SessionLimits};
use tricorn_wire::{Description, proto};

use crate::{
    load::LoadGauge,
    outbox::{Outbox, OutboxStream},
    scheduler::Command,
    server::Served,
    session::SessionTask,
};

/// What every stream's task needs to know.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) served: Served,
    pub(crate) hidden: usize,
    pub(crate) limits: SessionLimits,
    pub(crate) outbox_rows: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) open_timeout: Duration,
    pub(crate) load: Arc<LoadGauge>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) draining: AtomicBool,
    pub(crate) last_session: AtomicU64,
}

pub(crate) struct Service(pub(crate) Arc<Shared>);

#[async_trait]
impl proto::middle_server::Middle for Service {
    type SessionStream = OutboxStream;

    async fn describe(
        &self,
        _: Request<proto::DescribeRequest>,
    ) -> Result<Response<proto::DescribeResponse>, Status> {
        let shared = &self.0;
        let description = Description {
            fingerprint: shared.served.fingerprint,
            split: shared.served.split,
            hidden: shared.hidden,
            layers: shared.served.layers,
            codecs: HiddenCodec::ALL.to_vec(),
            limits: shared.limits,
            load: shared.load.snapshot(true),
            formats: shared.served.formats,
        };
        Ok(Response::new(description.into()))
    }

    async fn session(
        &self,
        request: Request<Streaming<proto::Uplink>>,
    ) -> Result<Response<OutboxStream>, Status> {
        let (outbox, stream) = Outbox::new(self.0.outbox_rows);
        let id = self.0.last_session.fetch_add(1, Ordering::Relaxed) + 1;
        tokio::spawn(SessionTask::new(Arc::clone(&self.0), id, request, outbox).run());
        Ok(Response::new(stream))
    }
}
