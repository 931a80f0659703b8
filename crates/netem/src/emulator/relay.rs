//! The relay: reads a connection's sockets into the link, and writes what the forwarders could not.

use super::{
    connection::Connection,
    forwarder::{Forwarder, Forwarders},
};
use std::{io, sync::Arc};

/// Bytes read at once.
const READ: usize = 64 << 10;

/// Serves a connection until both directions have ended or one is broken.
pub(super) async fn serve(connection: &Arc<Connection>, forwarders: &Forwarders) {
    let Forwarders { up, down } = forwarders;
    let work = async {
        tokio::join!(
            read(connection, up),
            read(connection, down),
            write_rest(connection, up),
            write_rest(connection, down)
        );
    };
    tokio::select! {
        () = work => {}
        () = connection.until_over() => {}
    }
    for forwarder in [up, down] {
        forwarder.discard(connection);
    }
    connection.close();
}

/// Reads what is to travel in this direction, as fast as the link takes it.
async fn read(connection: &Arc<Connection>, forwarder: &Forwarder) {
    let socket = &connection.sender(forwarder.direction()).socket;
    let mut buffer = vec![0; READ];
    loop {
        forwarder.admission(connection).await;
        match socket.readable().await.and_then(|()| socket.try_read(&mut buffer)) {
            Ok(0) => return forwarder.send_end(connection),
            Ok(count) => forwarder.send(connection, buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return connection.reset(),
        }
    }
}

/// Writes what the forwarder's thread could not because the receiver blocked.
async fn write_rest(connection: &Connection, forwarder: &Forwarder) {
    let receiver = connection.receiver(forwarder.direction());
    loop {
        receiver.blocked.notified().await;
        loop {
            if receiver.socket.writable().await.is_err() {
                return connection.reset();
            }
            let all = connection.flush(forwarder.direction());
            forwarder.wake_readers();
            if all {
                break;
            }
        }
    }
}
