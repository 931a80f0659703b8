//! The emulator: a link that runs, as a TCP proxy in user space.
//!
//! A thread for each direction (`forwarder`) hands over what has arrived; one thread for the whole
//! link (`relay`) reads.

mod coalesce;
mod connection;
mod error;
mod forwarder;
mod outbox;
mod relay;
mod socket;

pub use error::LinkError;

use crate::link::{LinkConfig, LinkConfigError};
use connection::{Connection, Direction};
use forwarder::{Forwarder, Forwarders};
use socket::{connect_to, listen_on, reset_on_close};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

/// Connections at a time; more are refused.
const MAX_CONNECTIONS: usize = 1024;
/// How long the cloud may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What has passed through one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Traffic {
    /// Bytes that have arrived.
    pub bytes: u64,
    /// Bytes that the link holds: waiting, under way, or arrived and not taken by the receiver.
    pub held: usize,
}

/// What has passed through a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// From the device to the cloud.
    pub up: Traffic,
    /// From the cloud to the device.
    pub down: Traffic,
    /// Connections that are open.
    pub open: usize,
    /// Connections there have been, refused ones among them.
    pub connections: u64,
}

/// A link that runs: what its threads share.
#[derive(Debug)]
struct RunningLink {
    forwarders: Forwarders,
    to: SocketAddr,
    open: Mutex<Vec<Arc<Connection>>>,
    connections: AtomicU64,
    stop: Notify,
}

impl RunningLink {
    fn open(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.forwarders.up.stop();
        self.forwarders.down.stop();
        self.stop.notify_one();
    }
}

/// An emulated link: listens for devices and connects each to a cloud. Three threads of its own;
/// dropping it ends them and every connection.
#[derive(Debug)]
pub struct Emulator {
    link: Arc<RunningLink>,
    addr: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

impl Emulator {
    /// Listens on `listen` (port 0 takes any free port) and connects what comes to `to`, which may
    /// begin to listen later.
    ///
    /// # Errors
    /// When the config is invalid, when the address cannot be listened on, and when the system has
    /// no threads left.
    pub fn start(
        listen: SocketAddr,
        to: SocketAddr,
        config: LinkConfig,
    ) -> Result<Self, LinkError> {
        config.validate()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(LinkError::Start)?;
        let bound = {
            let _inside = runtime.enter();
            listen_on(listen, &config)
        };
        let (listener, addr) = bound.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => LinkError::InUse(listen),
            _ => LinkError::Listen { listen, source },
        })?;
        let forwarders = Forwarders {
            up: Forwarder::new(Direction::Up, config.up, config.seed),
            down: Forwarder::new(Direction::Down, config.down, config.seed),
        };
        let link = Arc::new(RunningLink {
            forwarders,
            to,
            open: Mutex::default(),
            connections: AtomicU64::new(0),
            stop: Notify::new(),
        });
        // Before the first thread: if a later one cannot be had, dropping this ends the earlier
        // ones.
        let mut emulator = Self { link: link.clone(), addr, threads: Vec::with_capacity(3) };
        emulator.spawn("link-up", |link| link.forwarders.up.deliver())?;
        emulator.spawn("link-down", |link| link.forwarders.down.deliver())?;
        emulator.spawn("link-io", move |link| {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(&listener, &link) => {}
                    () = link.stop.notified() => {}
                }
            });
        })?;
        Ok(emulator)
    }

    fn spawn(
        &mut self,
        name: &str,
        run: impl FnOnce(Arc<RunningLink>) + Send + 'static,
    ) -> Result<(), LinkError> {
        let link = self.link.clone();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(link))
            .map_err(LinkError::Start)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Changes the link for every byte that has not been transmitted; what is under way arrives as
    /// it would have. The seed is not looked at.
    ///
    /// # Errors
    /// When the config is invalid; the link then stays as it is.
    pub fn set_config(&self, config: LinkConfig) -> Result<(), LinkConfigError> {
        config.validate()?;
        self.link.forwarders.up.set_config(config.up);
        self.link.forwarders.down.set_config(config.down);
        Ok(())
    }

    /// Begins or ends an outage: nothing passes, nothing is lost.
    pub fn outage(&self, on: bool) {
        self.link.forwarders.up.set_outage(on);
        self.link.forwarders.down.set_outage(on);
    }

    /// Resets every connection at both of its ends, as when a device changes its network. What the
    /// link held of them is lost.
    pub fn reset_connections(&self) {
        for connection in self.link.open().iter() {
            connection.reset();
        }
    }

    /// What has passed so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let open = self.link.open().clone();
        let traffic = |forwarder: &Forwarder| Traffic {
            bytes: forwarder.delivered_bytes(),
            held: forwarder.held_bytes()
                + open
                    .iter()
                    .map(|connection| connection.unread_bytes(forwarder.direction()))
                    .sum::<usize>(),
        };
        Counters {
            up: traffic(&self.link.forwarders.up),
            down: traffic(&self.link.forwarders.down),
            open: open.len(),
            connections: self.link.connections.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.link.stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: &TcpListener, link: &Arc<RunningLink>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        match listener.accept().await {
            Ok((device, _)) => {
                link.connections.fetch_add(1, Ordering::Relaxed);
                match permits.clone().try_acquire_owned() {
                    Ok(permit) => drop(tokio::spawn(carry(device, link.clone(), permit))),
                    Err(_) => reset_on_close(&device),
                }
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// One connection from its first byte to its last; one that cannot reach the cloud is reset.
async fn carry(device: TcpStream, link: Arc<RunningLink>, permit: OwnedSemaphorePermit) {
    let (up, down) = (link.forwarders.up.config(), link.forwarders.down.config());
    // The kernel has completed the device's handshake without crossing the link; what follows waits
    // as long as that would have taken.
    sleep(up.delay + down.delay).await;
    let connect = async {
        device.set_nodelay(true)?;
        connect_to(link.to, down.bytes_per_s, up.bytes_per_s).await
    };
    let Ok(Ok(cloud)) = timeout(CONNECT_TIMEOUT, connect).await else {
        return reset_on_close(&device);
    };
    let connection = Arc::new(Connection::new(device, cloud));
    link.open().push(connection.clone());
    relay::serve(&connection, &link.forwarders).await;
    link.open().retain(|other| !Arc::ptr_eq(other, &connection));
    drop(permit);
}
