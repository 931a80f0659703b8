//! An endpoint in the test's own process, over real sockets, with the demo model and its middle
//! beside it.

mod client;
mod cloud;
mod model;

pub(crate) use client::{Raw, events, get, post};
pub(crate) use cloud::Cloud;
pub(crate) use model::{Model, demo, with_tools};

use std::{
    net::SocketAddr,
    sync::OnceLock,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot, task::JoinHandle};
use tricorn_api::{Service, ServiceConfig, serve};
use tricorn_core::DraftPolicy;
use tricorn_device::EngineConfig;

/// Every wait of a test ends after this, in a panic.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Carries all endpoints of a test binary.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
}

/// Runs a test, but no longer than [`LIMIT`].
pub(crate) fn within<T>(test: impl Future<Output = T>) -> T {
    runtime().block_on(async {
        tokio::time::timeout(LIMIT, test).await.expect("the test takes too long")
    })
}

/// An endpoint that serves until it is dropped or stopped.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Endpoint {
    /// With the demo model, two slots and a queue of eight.
    pub(crate) async fn start() -> Self {
        Self::start_with(
            demo(),
            EngineConfig { slots: 2, queue: 8, ..EngineConfig::default() },
            |_| (),
        )
        .await
    }

    /// The same with other bounds.
    pub(crate) async fn limited(change: impl FnOnce(&mut ServiceConfig)) -> Self {
        Self::start_with(
            demo(),
            EngineConfig { slots: 2, queue: 8, ..EngineConfig::default() },
            change,
        )
        .await
    }

    pub(crate) async fn start_with(
        model: &Model,
        engine: EngineConfig,
        change: impl FnOnce(&mut ServiceConfig),
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = ServiceConfig::new("demo", DraftPolicy::default());
        change(&mut config);
        let service = Service::new(model.start(engine), config);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(listener, service, async move {
            let _ = stopped.await;
        }));
        Self { address, stop: Some(stop), served }
    }

    /// Asks the endpoint to stop, and waits until it has.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.served.await.unwrap().unwrap();
    }

    /// The value of a metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = get(self.address, "/metrics").await.text;
        let line = text
            .lines()
            .find(|line| line.split(' ').next() == Some(name))
            .unwrap_or_else(|| panic!("no {name} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until a metric has this value.
    pub(crate) async fn becomes(&self, name: &str, value: f64) {
        let begun = Instant::now();
        while self.metric(name).await != value {
            assert!(begun.elapsed() < LIMIT, "{name} does not become {value}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
