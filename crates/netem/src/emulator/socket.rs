//! Sockets whose buffers fit a link's rate.

use crate::link::LinkConfig;
use socket2::SockRef;
use std::{io, net::SocketAddr, time::Duration};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const BACKLOG: u32 = 256;
/// A kernel's buffer holds what the link carries in this time, so that it neither starves the link
/// nor hides its rate.
const BUFFER_SECONDS: f64 = 10e-3;
/// Below the size of two loopback segments TCP falls back to its timers.
const MIN_BUFFER: f64 = (128 << 10) as f64;
const MAX_BUFFER: f64 = (2 << 20) as f64;

/// Listens for devices.
pub(super) fn listen_on(
    address: SocketAddr,
    config: &LinkConfig,
) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = socket_for(address, config.up.bytes_per_s, config.down.bytes_per_s)?;
    // As the standard library does, so that a restart need not wait for old connections; elsewhere
    // than on Unix it would share the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Connects to the cloud.
pub(super) async fn connect_to(
    address: SocketAddr,
    read_rate: f64,
    write_rate: f64,
) -> io::Result<TcpStream> {
    socket_for(address, read_rate, write_rate)?.connect(address).await
}

/// Lets closing the socket reset its connection.
pub(super) fn reset_on_close(socket: &TcpStream) {
    // Where that is impossible, closing ends it in order.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

fn socket_for(address: SocketAddr, read_rate: f64, write_rate: f64) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_nodelay(true)?;
    // Before the handshake, which fixes the window's scale.
    socket.set_recv_buffer_size(buffer_bytes(read_rate))?;
    socket.set_send_buffer_size(buffer_bytes(write_rate))?;
    Ok(socket)
}

/// Bytes for a socket's kernel buffers at a rate in bytes a second.
fn buffer_bytes(bytes_per_s: f64) -> u32 {
    (bytes_per_s * BUFFER_SECONDS).clamp(MIN_BUFFER, MAX_BUFFER) as u32
}
