//! A cloud with a toy middle on a real loopback socket, and a device that says whatever a test
//! wants.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod counted;
mod device;
mod stack;
mod toy;
mod upstream;

use std::{net::SocketAddr, time::Duration};

use tokio::{sync::oneshot, task::JoinHandle};
use tricorn_cloud::{Cloud, CloudConfig, CloudError, Figures, MiddleModel, Served};
use tricorn_core::{
    AppendHeader, AppendKind, Fingerprint, FormatName, Formats, SessionLimits, Split, Want,
};

pub use counted::Counted;
pub use device::{Device, connect, dial, good_open};
pub use stack::Stack;
pub use toy::{Gate, POISON, POISON_CONTEXT, Toy, gated, toy, visitor};
pub use upstream::{Upstream, entry, stage, stage_open, through};

pub const HIDDEN: usize = 8;
pub const SERVED: Served = Served {
    fingerprint: Fingerprint([7; 32]),
    split: Split { input_layers: 2, output_layers: 1 },
    layers: 6,
    formats: Formats::UNKNOWN,
};
pub const LIMITS: SessionLimits =
    SessionLimits { context: 64, max_append_rows: 16, max_queued_rows: 32 };

pub fn config() -> CloudConfig {
    let mut config = CloudConfig::new("127.0.0.1:0".parse().unwrap(), LIMITS.context);
    config.limits = LIMITS;
    // The gates count batches.
    config.calibration = Duration::ZERO;
    config
}

/// A cloud that runs until it is stopped or dropped.
pub struct Running {
    pub addr: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<Figures, CloudError>>,
}

pub fn formats(weights: &str, kv: &str) -> Formats {
    Formats { weights: FormatName::new(weights), kv: FormatName::new(kv) }
}

pub fn start(config: CloudConfig, toy: impl MiddleModel) -> Running {
    start_serving(SERVED, config, toy)
}

pub fn start_serving(served: Served, config: CloudConfig, toy: impl MiddleModel) -> Running {
    let cloud = Cloud::bind(config, served).unwrap();
    let addr = cloud.local_addr();
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(cloud.serve(toy, async {
        // A test that forgets about the cloud keeps it.
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    }));
    Running { addr, stop, served }
}

impl Running {
    pub async fn stop(self) -> Result<Figures, CloudError> {
        self.stop.send(()).unwrap();
        self.served.await.unwrap()
    }

    /// Waits for a cloud that ends by itself.
    pub async fn ended(self) -> Result<Figures, CloudError> {
        self.served.await.unwrap()
    }
}

/// `count` rows that differ from session to session.
pub fn session_rows(session: usize, count: usize) -> Vec<f32> {
    (0..count * HIDDEN).map(|i| ((i * 31 + session * 17) % 200) as f32).collect()
}

pub fn append(epoch: u32, pos: usize, rows: usize) -> AppendHeader {
    AppendHeader { epoch, pos, rows, want: Want::All, kind: AppendKind::Prompt }
}
