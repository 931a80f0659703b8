//! Host check: web pages of other sites do not reach an endpoint on loopback.
//!
//! A browser lets any page send requests to `127.0.0.1`. It cannot read the answers, since no
//! origin is allowed by default; but a page whose name is made to point at `127.0.0.1` after it was
//! loaded (DNS rebinding) is of the same origin and could. Its requests carry that name as their
//! host, and are refused here.

use crate::{ApiError, Service};
use axum::{
    extract::{Request, State},
    http::{header::HOST, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{net::IpAddr, sync::Arc};

/// Refuses requests for other hosts.
pub(crate) async fn check_host(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(HOST).map(|value| value.to_str().unwrap_or("?"));
    match host.or_else(|| request.uri().authority().map(Authority::as_str)) {
        Some(host) if !allowed(host, &service.config.allowed_hosts) => {
            ApiError::Host(host.chars().take(100).collect()).into_response()
        }
        // A client without a host is no browser.
        _ => next.run(request).await,
    }
}

fn allowed(host: &str, names: &[String]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_are_allowed() {
        let names = ["box.lan".to_owned()];
        for good in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1:8080",
            "127.0.0.1",
            "[::1]:8080",
            "box.lan:1",
            "192.168.0.7:8080",
        ] {
            assert!(allowed(good, &names), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "a b",
            "?",
        ] {
            assert!(!allowed(bad, &names), "{bad}");
        }
    }
}
