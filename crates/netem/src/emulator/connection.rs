//! A connection through the link: a socket to the device, a socket to the cloud, and what waits to
//! be written to each.

use super::{
    outbox::{Flushed, Outbox, Payload},
    socket::reset_on_close,
};
use socket2::SockRef;
use std::{
    io,
    net::Shutdown,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};
use tokio::{net::TcpStream, sync::Notify};

/// A direction of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the device to the cloud.
    Up,
    /// From the cloud to the device.
    Down,
}

/// A device's connection to the cloud.
#[derive(Debug)]
pub(super) struct Connection {
    device: Endpoint,
    cloud: Endpoint,
    /// Directions that have ended in order.
    ended: AtomicU8,
    broken: AtomicBool,
    over: Notify,
}

/// A socket, and what waits to be written to it.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) socket: TcpStream,
    outbox: Mutex<Outbox>,
    /// The receiver takes no more for now.
    pub(super) blocked: Notify,
}

impl Endpoint {
    fn new(socket: TcpStream) -> Self {
        Self { socket, outbox: Mutex::default(), blocked: Notify::new() }
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
            device: Endpoint::new(device),
            cloud: Endpoint::new(cloud),
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

    /// Waits until both directions have ended or the connection is broken.
    pub(super) async fn until_over(&self) {
        self.over.notified().await;
    }

    /// Lets a broken connection end with a reset instead of in order.
    pub(super) fn close(&self) {
        if self.broken.load(Ordering::Relaxed) {
            for endpoint in [&self.device, &self.cloud] {
                reset_on_close(&endpoint.socket);
            }
        }
    }

    /// Bytes that have arrived in this direction and that the receiver has not taken.
    pub(super) fn unread_bytes(&self, direction: Direction) -> usize {
        self.receiver(direction).outbox().bytes()
    }

    /// Something has arrived; [`Connection::flush`] writes it.
    pub(super) fn receive(&self, direction: Direction, payload: Payload) {
        self.receiver(direction).outbox().push(payload);
    }

    /// Writes what has arrived as far as the receiver takes it; false where it blocks, and the rest
    /// is to be written when it takes more.
    pub(super) fn flush(&self, direction: Direction) -> bool {
        let receiver = self.receiver(direction);
        match receiver.flush() {
            Ok(Flushed::All) => true,
            Ok(Flushed::Ended) => {
                // A socket that is gone needs no end.
                let _ = SockRef::from(&receiver.socket).shutdown(Shutdown::Write);
                if self.ended.fetch_add(1, Ordering::Relaxed) == 1 {
                    self.over.notify_one();
                }
                true
            }
            Ok(Flushed::Blocked) => {
                receiver.blocked.notify_one();
                false
            }
            Err(_) => {
                self.reset();
                true
            }
        }
    }

    pub(super) fn sender(&self, direction: Direction) -> &Endpoint {
        match direction {
            Direction::Up => &self.device,
            Direction::Down => &self.cloud,
        }
    }

    pub(super) fn receiver(&self, direction: Direction) -> &Endpoint {
        match direction {
            Direction::Up => &self.cloud,
            Direction::Down => &self.device,
        }
    }
}
