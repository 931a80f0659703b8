//! HTTP/2 and TCP settings, the same at both ends.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint, Server};

use crate::{
    WireError,
    proto::{
        middle_client::MiddleClient,
        middle_server::{Middle, MiddleServer},
        stage_client::StageClient,
        stage_server::{Stage, StageServer},
    },
};

/// HTTP/2's default of 64 KiB would cap a stream at window / RTT, 1 MB/s at 64 ms; this fills 100
/// MB/s at 80 ms.
pub const STREAM_WINDOW: u32 = 8 << 20;
/// Two full streams at once. Also what an unread connection can cost a server in memory.
pub const CONNECTION_WINDOW: u32 = 16 << 20;
/// A peer that is silent for this long is asked for a sign of life.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// A peer that gives none for this long is taken for dead.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a device waits for a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Sessions over one connection.
pub const MAX_STREAMS: u32 = 256;

/// The device's way to the cloud at `url`, `http://HOST:PORT` or `HOST:PORT`.
///
/// # Errors
/// When `url` is not such an address.
pub fn endpoint(url: &str) -> Result<Endpoint, WireError> {
    let refuse =
        |reason: &str| WireError::Address { url: url.to_owned(), reason: reason.to_owned() };
    let full = match url.split_once("://") {
        None => format!("http://{url}"),
        Some(("http", _)) => url.to_owned(),
        Some(("https", _)) => return Err(refuse("this version speaks no TLS")),
        Some((scheme, _)) => return Err(refuse(&format!("unknown scheme `{scheme}`"))),
    };
    let endpoint = Endpoint::from_shared(full).map_err(|_| refuse("it cannot be read"))?;
    if endpoint.uri().port_u16().is_none() {
        return Err(refuse("the port is missing"));
    }
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

/// A client over `channel` that refuses messages of more than `max_message_bytes` (see
/// [`crate::limits`]).
#[must_use]
pub fn client(channel: Channel, max_message_bytes: usize) -> MiddleClient<Channel> {
    MiddleClient::new(channel)
        .max_decoding_message_size(max_message_bytes)
        .max_encoding_message_size(max_message_bytes)
}

/// The cloud's end of every connection.
#[must_use]
pub fn server() -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}

/// `middle` as a gRPC service that refuses messages of more than `max_message_bytes` (see
/// [`crate::limits`]).
#[must_use]
pub fn service<T: Middle>(middle: T, max_message_bytes: usize) -> MiddleServer<T> {
    MiddleServer::new(middle)
        .max_decoding_message_size(max_message_bytes)
        .max_encoding_message_size(max_message_bytes)
}

/// A client of a later stage, with the same limit.
#[must_use]
pub fn stage_client(channel: Channel, max_message_bytes: usize) -> StageClient<Channel> {
    StageClient::new(channel)
        .max_decoding_message_size(max_message_bytes)
        .max_encoding_message_size(max_message_bytes)
}

/// `stage` as a gRPC service, with the same limit.
#[must_use]
pub fn stage_service<T: Stage>(stage: T, max_message_bytes: usize) -> StageServer<T> {
    StageServer::new(stage)
        .max_decoding_message_size(max_message_bytes)
        .max_encoding_message_size(max_message_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["http://127.0.0.1:7300", "localhost:7300", "http://[::1]:7300"] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in ["", "http://", "localhost", "https://a:1", "ftp://a:1", "a b:1", "http://a"] {
            let error = endpoint(bad).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("http://HOST:PORT") && !error.contains('\n'), "{error}");
        }
    }
}
