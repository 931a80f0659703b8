//! One connection through the link: a socket to the device, a socket to the cloud, and the tasks
//! that serve them.

use super::{
    courier::{Side, Way},
    emulator::Ways,
    outbox::{Cargo, Flushed, Outbox},
};
use socket2::SockRef;
use std::{
    io,
    net::Shutdown,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpStream, sync::Notify};

/// Bytes read at once.
const READ: usize = 64 << 10;
/// A kernel's buffer holds what the link carries in this time, so that it neither starves the link
/// nor hides its rate.
const BUFFER_SECONDS: f64 = 10e-3;
/// Below the size of two loopback segments TCP falls back to its timers.
const MIN_BUFFER: f64 = (128 << 10) as f64;
const MAX_BUFFER: f64 = (2 << 20) as f64;

/// Bytes for a socket's kernel buffers at a rate in bytes a second.
pub(super) fn buffer_bytes(bytes_per_s: f64) -> usize {
    (bytes_per_s * BUFFER_SECONDS).clamp(MIN_BUFFER, MAX_BUFFER) as usize
}

/// A device's connection to the cloud.
#[derive(Debug)]
pub(super) struct Connection {
    device: Leg,
    cloud: Leg,
    /// Directions that have ended in order.
    ended: AtomicU8,
    broken: AtomicBool,
    over: Notify,
}

/// A socket, and what waits to be written to it.
#[derive(Debug)]
struct Leg {
    socket: TcpStream,
    outbox: Mutex<Outbox>,
    /// The receiver takes no more for now.
    stuck: Notify,
}

impl Leg {
    fn new(socket: TcpStream) -> Self {
        Self { socket, outbox: Mutex::default(), stuck: Notify::new() }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self) -> io::Result<Flushed> {
        self.outbox().flush(|slices| self.socket.try_write_vectored(slices))
    }
}

impl Connection {
    pub(super) fn new(device: TcpStream, cloud: TcpStream) -> Self {
        Self {
            device: Leg::new(device),
            cloud: Leg::new(cloud),
            ended: AtomicU8::new(0),
            broken: AtomicBool::new(false),
            over: Notify::new(),
        }
    }

    /// Ends the connection with a reset on both sides.
    pub(super) fn reset(&self) {
        self.broken.store(true, Ordering::Relaxed);
        self.over.notify_one();
    }

    /// Bytes that have arrived on this way and that its receiver has not taken.
    pub(super) fn unread_bytes(&self, side: Side) -> usize {
        self.receiver(side).outbox().bytes()
    }

    /// Something has arrived; [`Connection::flush`] writes it.
    pub(super) fn receive(&self, side: Side, cargo: Cargo) {
        self.receiver(side).outbox().push(cargo);
    }

    /// Writes what has arrived as far as the receiver takes it; the rest is written when it takes
    /// more.
    pub(super) fn flush(&self, side: Side) -> bool {
        let leg = self.receiver(side);
        match leg.flush() {
            Ok(Flushed::All) => true,
            Ok(Flushed::Ended) => {
                // A socket that is gone needs no end.
                let _ = SockRef::from(&leg.socket).shutdown(Shutdown::Write);
                if self.ended.fetch_add(1, Ordering::Relaxed) == 1 {
                    self.over.notify_one();
                }
                true
            }
            Ok(Flushed::Blocked) => {
                leg.stuck.notify_one();
                false
            }
            Err(_) => {
                self.reset();
                true
            }
        }
    }

    /// Serves the connection until both directions have ended or one is broken.
    pub(super) async fn serve(self: Arc<Self>, ways: &Ways) {
        let work = async {
            tokio::join!(
                self.read(&ways.up),
                self.read(&ways.down),
                self.write_rest(&ways.up),
                self.write_rest(&ways.down)
            );
        };
        tokio::select! {
            () = work => {}
            () = self.over.notified() => {}
        }
        for way in [&ways.up, &ways.down] {
            way.discard(&self);
        }
        if self.broken.load(Ordering::Relaxed) {
            for leg in [&self.device, &self.cloud] {
                refuse(&leg.socket);
            }
        }
    }

    /// Reads what is to travel on this way, as fast as the way takes it.
    async fn read(self: &Arc<Self>, way: &Way) {
        let source = self.sender(way.side());
        let mut buffer = vec![0; READ];
        loop {
            way.admission(self).await;
            match source.socket.readable().await.and_then(|()| source.socket.try_read(&mut buffer))
            {
                Ok(0) => return way.send_end(self),
                Ok(count) => way.send(self, buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return self.reset(),
            }
        }
    }

    /// Writes what the courier could not.
    async fn write_rest(&self, way: &Way) {
        let leg = self.receiver(way.side());
        loop {
            leg.stuck.notified().await;
            loop {
                if leg.socket.writable().await.is_err() {
                    return self.reset();
                }
                let all = self.flush(way.side());
                way.wake_readers();
                if all {
                    break;
                }
            }
        }
    }

    fn sender(&self, side: Side) -> &Leg {
        match side {
            Side::Up => &self.device,
            Side::Down => &self.cloud,
        }
    }

    fn receiver(&self, side: Side) -> &Leg {
        match side {
            Side::Up => &self.cloud,
            Side::Down => &self.device,
        }
    }
}

/// Lets closing the socket reset its connection.
pub(super) fn refuse(socket: &TcpStream) {
    // Where that is impossible, closing ends it in order.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
