//! Own addresses: whether one leads to this very process.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use tokio::net::lookup_host;
use tricorn_wire::transport::endpoint;

/// Whether `url` leads to `local`, where this process listens. A name that is not known leads
/// nowhere.
pub(crate) async fn leads_to(url: &str, local: SocketAddr) -> bool {
    let Ok(endpoint) = endpoint(url) else { return false };
    let uri = endpoint.uri();
    if uri.port_u16() != Some(local.port()) {
        return false;
    }
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let Ok(mut found) = lookup_host((host, local.port())).await else { return false };
    found.any(|address| {
        address.ip() == local.ip() || local.ip().is_unspecified() && is_own(address.ip())
    })
}

/// Only a machine's own addresses can be bound.
fn is_own(address: IpAddr) -> bool {
    address.is_unspecified() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cloud_knows_its_own_address() {
        for (url, local, own) in [
            ("127.0.0.1:7070", "127.0.0.1:7070", true),
            ("http://127.0.0.1:7070", "0.0.0.0:7070", true),
            ("0.0.0.0:7070", "0.0.0.0:7070", true),
            ("127.0.0.1:7071", "127.0.0.1:7070", false),
            ("127.0.0.2:7070", "127.0.0.1:7070", false),
            // Reserved for documentation: nobody's.
            ("192.0.2.1:7070", "0.0.0.0:7070", false),
            ("nowhere", "127.0.0.1:7070", false),
        ] {
            assert_eq!(leads_to(url, local.parse().unwrap()).await, own, "{url} at {local}");
        }
    }
}
