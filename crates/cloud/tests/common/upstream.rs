//! The least cloud that can talk to a later stage.

use std::{net::SocketAddr, ops::Range};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tricorn_cloud::CloudConfig;
use tricorn_wire::{
    Failure, StageBatch, StageDone, StageDown, StageOpen, StageOpened, StageUp, proto, transport,
};

use super::{HIDDEN, LIMITS, SERVED, Toy, config};
use tricorn_core::StageEntry;

const LARGE: usize = 64 << 20;

/// The settings of a stage with the layers `held`.
pub fn stage(held: Range<usize>, next: Option<SocketAddr>) -> CloudConfig {
    CloudConfig { held: Some(held), next: next.map(|next| next.to_string()), ..config() }
}

/// What the stage before layer `first` says.
pub fn stage_open(first_layer: usize) -> StageOpen {
    StageOpen {
        fingerprint: SERVED.fingerprint,
        split: SERVED.split,
        hidden: HIDDEN,
        first_layer,
        context: LIMITS.context,
        max_sessions: 64,
        max_batch_rows: 64,
        formats: SERVED.formats,
    }
}

pub fn entry(session: u64, pos: usize, rows: usize) -> StageEntry {
    StageEntry { session, pos, rows, answer_rows: rows }
}

/// What a chain of `stages` toys makes of the rows of a whole sequence.
pub fn through(stages: usize, rows: &[f32]) -> Vec<f32> {
    (0..stages).fold(rows.to_vec(), |rows, _| Toy::answer(HIDDEN, &rows))
}

pub struct Upstream {
    up: mpsc::Sender<proto::StageUp>,
    down: Streaming<proto::StageDown>,
}

impl Upstream {
    pub async fn dial(addr: SocketAddr) -> Self {
        let channel = transport::endpoint(&addr.to_string()).unwrap().connect().await.unwrap();
        let (up, messages) = mpsc::channel(64);
        let down = transport::stage_client(channel, LARGE)
            .run(ReceiverStream::new(messages))
            .await
            .unwrap()
            .into_inner();
        Self { up, down }
    }

    /// With its stream open before layer `first`.
    pub async fn connect(addr: SocketAddr, first: usize) -> Self {
        let mut upstream = Self::dial(addr).await;
        upstream.open(stage_open(first)).await.unwrap();
        upstream
    }

    pub async fn open(&mut self, open: StageOpen) -> Result<StageOpened, Failure> {
        self.say(StageUp::Open(open)).await;
        match self.hear().await {
            Some(StageDown::Opened(opened)) => Ok(opened),
            Some(StageDown::Failed(failure)) => Err(failure),
            other => panic!("expected Opened or Failed, got {other:?}"),
        }
    }

    pub async fn say(&self, message: StageUp) {
        self.say_raw(message.into()).await;
    }

    /// Does not mind a stage that has stopped listening.
    pub async fn say_raw(&self, message: proto::StageUp) {
        let _ = self.up.send(message).await;
    }

    pub async fn batch(&self, id: u64, entries: Vec<StageEntry>, closed: Vec<u64>, rows: &[f32]) {
        self.say(StageUp::Batch(StageBatch::encode(id, entries, closed, HIDDEN, rows).unwrap()))
            .await;
    }

    /// As [`batch`](Self::batch), with rows of another size.
    pub async fn batch_of(&self, hidden: usize, id: u64, entries: Vec<StageEntry>, rows: &[f32]) {
        self.say(StageUp::Batch(
            StageBatch::encode(id, entries, Vec::new(), hidden, rows).unwrap(),
        ))
        .await;
    }

    /// The next message; `None` when the stream has ended in good order.
    pub async fn hear(&mut self) -> Option<StageDown> {
        self.down.message().await.unwrap().map(|message| message.try_into().unwrap())
    }

    /// The answer to a batch, with so many rows.
    pub async fn done(&mut self, rows: usize) -> (StageDone, Vec<f32>) {
        match self.hear().await {
            Some(StageDown::Done(done)) => {
                let rows = done.decode(rows, HIDDEN).unwrap();
                (done, rows)
            }
            other => panic!("expected Done, got {other:?}"),
        }
    }

    /// The stream's last words: the failure, then its end.
    pub async fn failure(&mut self) -> Failure {
        match self.hear().await {
            Some(StageDown::Failed(failure)) => {
                assert_eq!(self.hear().await, None);
                assert!(
                    !failure.message.is_empty() && !failure.message.contains('\n'),
                    "{failure:?}"
                );
                failure
            }
            other => panic!("expected Failed, got {other:?}"),
        }
    }
}
