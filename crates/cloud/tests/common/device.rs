//! The least device that can hold a session.

use std::net::SocketAddr;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};
use tricorn_cloud::Served;
use tricorn_core::{AppendHeader, HiddenCodec};
use tricorn_wire::{Append, Deep, Downlink, Failure, Open, Opened, Uplink, proto, transport};

use super::{HIDDEN, SERVED, Toy};

const LARGE: usize = 64 << 20;

pub fn good_open() -> Open {
    let Served { fingerprint, split, formats, .. } = SERVED;
    Open {
        fingerprint,
        split,
        hidden: HIDDEN,
        codecs: vec![HiddenCodec::F16],
        context: None,
        formats,
    }
}

pub async fn dial(addr: SocketAddr) -> proto::middle_client::MiddleClient<Channel> {
    transport::client(
        transport::endpoint(&addr.to_string()).unwrap().connect().await.unwrap(),
        LARGE,
    )
}

/// A device with its session open.
pub async fn connect(addr: SocketAddr) -> Device {
    let mut device = Device::dial(addr).await;
    device.open(good_open()).await.unwrap();
    device
}

pub struct Device {
    up: mpsc::Sender<proto::Uplink>,
    down: Streaming<proto::Downlink>,
    hidden: usize,
    codec: HiddenCodec,
}

impl Device {
    pub async fn dial(addr: SocketAddr) -> Self {
        Self::over(dial(addr).await).await
    }

    pub async fn over(mut client: proto::middle_client::MiddleClient<Channel>) -> Self {
        let (up, messages) = mpsc::channel(64);
        let down = client.session(ReceiverStream::new(messages)).await.unwrap().into_inner();
        Self { up, down, hidden: HIDDEN, codec: HiddenCodec::F16 }
    }

    pub async fn open(&mut self, open: Open) -> Result<Opened, Failure> {
        self.hidden = open.hidden;
        self.say(Uplink::Open(open)).await;
        match self.hear().await {
            Some(Downlink::Opened(opened)) => {
                self.codec = opened.codec;
                Ok(opened)
            }
            Some(Downlink::Failed(failure)) => Err(failure),
            other => panic!("expected Opened or Failed, got {other:?}"),
        }
    }

    pub async fn say(&self, message: Uplink) {
        self.say_raw(message.into()).await;
    }

    /// Does not mind a cloud that has stopped listening.
    pub async fn say_raw(&self, message: proto::Uplink) {
        let _ = self.up.send(message).await;
    }

    pub async fn append(&self, header: AppendHeader, rows: &[f32]) {
        self.say(Uplink::Append(Append::encode(header, self.codec, self.hidden, rows).unwrap()))
            .await;
    }

    /// The next message; `None` when the stream has ended in good order.
    pub async fn hear(&mut self) -> Option<Downlink> {
        self.down.message().await.unwrap().map(|message| message.try_into().unwrap())
    }

    pub async fn deep(&mut self) -> (Deep, Vec<f32>) {
        match self.hear().await {
            Some(Downlink::Deep(deep)) => {
                let rows = deep.decode(self.codec, self.hidden).unwrap();
                (deep, rows)
            }
            other => panic!("expected Deep, got {other:?}"),
        }
    }

    /// The session's last words: the failure, then the end of the stream.
    pub async fn failure(&mut self) -> Failure {
        match self.hear().await {
            Some(Downlink::Failed(failure)) => {
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

    /// Ends the uplink half.
    pub fn hang_up(self) -> Streaming<proto::Downlink> {
        self.down
    }

    /// Sends a whole sequence in chunks of `chunk` rows and checks every answer.
    pub async fn converse(&mut self, rows: &[f32], chunk: usize) {
        let expected = Toy::answer(self.hidden, rows);
        for (index, values) in rows.chunks(chunk * self.hidden).enumerate() {
            let header = super::append(0, index * chunk, values.len() / self.hidden);
            self.append(header, values).await;
            let (deep, answer) = self.deep().await;
            assert_eq!(deep.header, header.answer());
            assert_eq!(answer, expected[header.pos * self.hidden..header.end() * self.hidden]);
        }
    }
}
