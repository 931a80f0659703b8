//! A running link.

use super::{
    connection::{Connection, buffer_bytes, refuse},
    courier::{Side, Way},
    error::{LinkConfigError, LinkError},
    shape::Shape,
};
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
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

/// Connections at a time; more are refused.
const MAX_CONNECTIONS: usize = 1024;
const BACKLOG: u32 = 256;
/// How long the cloud may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Both directions.
#[derive(Debug)]
pub(super) struct Ways {
    pub(super) up: Way,
    pub(super) down: Way,
}

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

#[derive(Debug)]
struct Shared {
    ways: Ways,
    to: SocketAddr,
    open: Mutex<Vec<Arc<Connection>>>,
    connections: AtomicU64,
    stop: Notify,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.ways.up.stop();
        self.ways.down.stop();
        self.stop.notify_one();
    }
}

/// An emulated link: listens for devices and connects each to a cloud. Three threads of its own;
/// dropping it ends them and every connection.
#[derive(Debug)]
pub struct Emulator {
    shared: Arc<Shared>,
    addr: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

impl Emulator {
    /// Listens on `listen` (port 0 takes any free port) and connects what comes to `to`, which may
    /// begin to listen later.
    ///
    /// # Errors
    /// When the shape is invalid, when the address cannot be listened on, and when the system has
    /// no threads left.
    pub fn start(listen: SocketAddr, to: SocketAddr, shape: Shape) -> Result<Self, LinkError> {
        shape.validate()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(LinkError::Start)?;
        let bound = {
            let _inside = runtime.enter();
            listen_on(listen, &shape)
        };
        let (listener, addr) = bound.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => LinkError::InUse(listen),
            _ => LinkError::Listen { listen, source },
        })?;
        let ways = Ways {
            up: Way::new(Side::Up, shape.up, shape.seed),
            down: Way::new(Side::Down, shape.down, shape.seed),
        };
        let shared = Arc::new(Shared {
            ways,
            to,
            open: Mutex::default(),
            connections: AtomicU64::new(0),
            stop: Notify::new(),
        });
        // Before the first thread: if a later one cannot be had, dropping this ends the earlier
        // ones.
        let mut emulator = Self { shared: shared.clone(), addr, threads: Vec::with_capacity(3) };
        emulator.spawn("link-up", |shared| shared.ways.up.deliver())?;
        emulator.spawn("link-down", |shared| shared.ways.down.deliver())?;
        emulator.spawn("link-io", move |shared| {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(&listener, &shared) => {}
                    () = shared.stop.notified() => {}
                }
            });
        })?;
        Ok(emulator)
    }

    fn spawn(
        &mut self,
        name: &str,
        run: impl FnOnce(Arc<Shared>) + Send + 'static,
    ) -> Result<(), LinkError> {
        let shared = self.shared.clone();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(shared))
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
    /// When the shape is invalid; the link then stays as it is.
    pub fn set_shape(&self, shape: Shape) -> Result<(), LinkConfigError> {
        shape.validate()?;
        self.shared.ways.up.reshape(shape.up);
        self.shared.ways.down.reshape(shape.down);
        Ok(())
    }

    /// Begins or ends an outage: nothing passes, nothing is lost.
    pub fn outage(&self, on: bool) {
        self.shared.ways.up.set_outage(on);
        self.shared.ways.down.set_outage(on);
    }

    /// Resets every connection at both of its ends, as when a device changes its network. What the
    /// link held of them is lost.
    pub fn reset_connections(&self) {
        for connection in self.shared.open().iter() {
            connection.reset();
        }
    }

    /// What has passed so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let open = self.shared.open().clone();
        let traffic = |way: &Way| Traffic {
            bytes: way.delivered_bytes(),
            held: way.held_bytes()
                + open.iter().map(|connection| connection.unread_bytes(way.side())).sum::<usize>(),
        };
        Counters {
            up: traffic(&self.shared.ways.up),
            down: traffic(&self.shared.ways.down),
            open: open.len(),
            connections: self.shared.connections.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

fn socket_for(address: SocketAddr, read_rate: f64, write_rate: f64) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_nodelay(true)?;
    // Before the handshake, which fixes the window's scale.
    socket.set_recv_buffer_size(u32::try_from(buffer_bytes(read_rate)).unwrap_or(u32::MAX))?;
    socket.set_send_buffer_size(u32::try_from(buffer_bytes(write_rate)).unwrap_or(u32::MAX))?;
    Ok(socket)
}

fn listen_on(address: SocketAddr, shape: &Shape) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = socket_for(address, shape.up.bytes_per_s, shape.down.bytes_per_s)?;
    // As the standard library does, so that a restart need not wait for old connections; elsewhere
    // than on Unix it would share the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        match listener.accept().await {
            Ok((device, _)) => {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                match places.clone().try_acquire_owned() {
                    Ok(place) => drop(tokio::spawn(carry(device, shared.clone(), place))),
                    Err(_) => refuse(&device),
                }
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// One connection from its first byte to its last; one that cannot reach the cloud is reset.
async fn carry(device: TcpStream, shared: Arc<Shared>, place: OwnedSemaphorePermit) {
    let (up, down) = (shared.ways.up.direction(), shared.ways.down.direction());
    // The kernel has completed the device's handshake without crossing the link; what follows waits
    // as long as that would have taken.
    sleep(up.delay + down.delay).await;
    let connect = async {
        device.set_nodelay(true)?;
        socket_for(shared.to, down.bytes_per_s, up.bytes_per_s)?.connect(shared.to).await
    };
    let Ok(Ok(cloud)) = timeout(CONNECT_TIMEOUT, connect).await else {
        return refuse(&device);
    };
    let connection = Arc::new(Connection::new(device, cloud));
    shared.open().push(connection.clone());
    connection.clone().serve(&shared.ways).await;
    shared.open().retain(|other| !Arc::ptr_eq(other, &connection));
    drop(place);
}
