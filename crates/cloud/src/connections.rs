//! Connections of a cloud: no more than it may hold, none that stays silent, and each with its
//! [`Meter`].

use std::{
    io::{self, ErrorKind, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tokio_stream::Stream;
use tonic::transport::server::Connected;

use crate::{CloudConfig, meter::Meter};

/// Bytes that every HTTP/2 connection begins with (RFC 9113, section 3.4); who has sent them is
/// asked for signs of life from then on.
const PREFACE: usize = 24;
/// How long nothing is accepted after the system has refused a connection, for want of file
/// descriptors as a rule: to ask at once would only keep a core busy.
const PAUSE: Duration = Duration::from_millis(200);
/// The least time between two warnings.
const SELDOM: Duration = Duration::from_secs(60);

/// What comes in at a listener. It never ends.
#[derive(Debug)]
pub(crate) struct Connections {
    listener: TcpListener,
    places: Arc<Semaphore>,
    most: usize,
    first_bytes: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    warn: fn(&str),
    warned: Option<Instant>,
}

/// One device, or the stage before.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    peer: Peer,
    /// Until it has said that it speaks HTTP/2.
    opening: Option<Opening>,
    _place: OwnedSemaphorePermit,
}

/// Who is at the other end of a connection; found among a request's extensions.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    pub(crate) meter: Arc<Meter>,
}

#[derive(Debug)]
struct Opening {
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Connections {
    /// `warn` gets a line when connections cannot be taken, and no other for a minute.
    pub(crate) fn new(listener: TcpListener, config: &CloudConfig, warn: fn(&str)) -> Self {
        let most = config.max_connections.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(most));
        Self {
            listener,
            places,
            most,
            first_bytes: config.open_timeout,
            pause: None,
            warn,
            warned: None,
        }
    }

    fn warn(&mut self, line: impl FnOnce() -> String) {
        let now = Instant::now();
        if self.warned.is_none_or(|at| now.duration_since(at) >= SELDOM) {
            self.warned = Some(now);
            (self.warn)(&line());
        }
    }

    fn take(&mut self, stream: TcpStream, addr: SocketAddr) -> Option<Connection> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let most = self.most;
            self.warn(|| {
                format!(
                    "all {most} connections are taken, others are closed; raise --max-sessions or \
                     stop whoever opens so many"
                )
            });
            return None;
        };
        // Without it small answers wait for others; a socket that refuses it works all the same.
        let _ = stream.set_nodelay(true);
        let opening = Opening { missing: PREFACE, deadline: Box::pin(sleep(self.first_bytes)) };
        let peer = Peer { addr, meter: Arc::default() };
        Some(Connection { stream, peer, opening: Some(opening), _place: place })
    }
}

impl Stream for Connections {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match ready!(self.listener.poll_accept(context)) {
                Ok((stream, addr)) => {
                    if let Some(connection) = self.take(stream, addr) {
                        return Poll::Ready(Some(Ok(connection)));
                    }
                }
                Err(error) if is_of_one(&error) => {}
                Err(error) => {
                    self.warn(|| {
                        format!(
                            "no connection can be taken ({error}); raise the limit of open files \
                             (`ulimit -n`)"
                        )
                    });
                    self.pause = Some(Box::pin(sleep(PAUSE)));
                }
            }
        }
    }
}

/// Whether it is only the next connection that failed, before it was taken.
fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if Pin::new(&mut self.stream).poll_read(context, buffer)?.is_pending() {
            let Some(opening) = &mut self.opening else { return Poll::Pending };
            return opening
                .deadline
                .as_mut()
                .poll(context)
                .map(|()| Err(ErrorKind::TimedOut.into()));
        }
        let count = buffer.filled().len() - before;
        self.peer.meter.read(count);
        if let Some(opening) = &mut self.opening {
            opening.missing = opening.missing.saturating_sub(count);
            if opening.missing == 0 {
                self.opening = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
