//! A cloud beside the endpoint, over a real socket.

use super::{Model, runtime};
use std::net::SocketAddr;
use tokio::{sync::oneshot, task::JoinHandle};
use tricorn_api::CloudBehind;
use tricorn_cloud::{CloudConfig, CloudError, Figures, PooledMiddle, Served};
use tricorn_core::Split;
use tricorn_device::CloudProbe;
use tricorn_model::{KvPool, MiddlePart, ModelSource};

/// A cloud for the demo model that serves until it is stopped.
pub(crate) struct Cloud {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<Figures, CloudError>>,
}

impl Cloud {
    /// At the device's split.
    pub(crate) async fn start() -> Self {
        Self::at("2:0").await
    }

    pub(crate) async fn at(split: &str) -> Self {
        let source = std::sync::Arc::new(ModelSource::open(&super::model::folder()).unwrap());
        let split: Split = split.parse().unwrap();
        let config = source.config();
        let served = Served {
            fingerprint: source.fingerprint().unwrap(),
            split,
            layers: config.layers,
            formats: Default::default(),
        };
        let settings = CloudConfig {
            calibration: std::time::Duration::ZERO,
            ..CloudConfig::new(([127, 0, 0, 1], 0).into(), config.context)
        };
        let cloud = tricorn_cloud::Cloud::bind(settings, served).unwrap();
        let middle =
            PooledMiddle::new(MiddlePart::load(&source, split).unwrap(), KvPool::new(usize::MAX));
        let address = cloud.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(cloud.serve(middle, async move {
            let _ = stopped.await;
        }));
        Self { address, stop, served }
    }

    /// The cloud as an endpoint with this model asks it.
    pub(crate) fn behind(&self, model: &Model, offline_fallback: bool) -> CloudBehind {
        Self::behind_url(&format!("http://{}", self.address), model, offline_fallback)
    }

    pub(crate) fn behind_url(url: &str, model: &Model, offline_fallback: bool) -> CloudBehind {
        CloudBehind {
            probe: CloudProbe::new(url, model.parts(), runtime().handle()).unwrap(),
            offline_fallback,
        }
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.served.await.unwrap().unwrap();
    }
}
