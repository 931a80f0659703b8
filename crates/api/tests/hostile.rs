//! Slow, greedy and departing clients, and pages of other sites.

use crate::support::{Endpoint, Raw, demo, events, post, within};
use serde_json::{Value, json};
use std::time::Duration;
use tricorn_api::Limits;

const CHAT: &str = "/v1/chat/completions";

fn chat(more: Value) -> Value {
    let mut request = json!({
        "model": "demo",
        "messages": [{ "role": "user", "content": "Hello" }],
        "max_tokens": 2,
        "temperature": 0,
    });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

/// One that goes on for long: the end of the text is out of reach.
fn endless() -> Value {
    chat(json!({ "max_tokens": 2000, "stream": true, "stop": "\u{1F984}" }))
}

async fn short(deadlines: Duration) -> Endpoint {
    Endpoint::limited(|config| {
        let limits = Limits { head_deadline: deadlines, body_deadline: deadlines, ..config.limits };
        config.limits = limits;
    })
    .await
}

#[test]
fn a_client_that_goes_away_frees_its_slot() {
    within(async {
        let endpoint = Endpoint::start().await;
        let mut stream = events(endpoint.address, CHAT, &endless()).await;
        stream.next().await.unwrap();
        drop(stream);
        endpoint.becomes("tricorn_requests_running", 0.0).await;
        // The client may be so quick to read that the text ended before; it was then not cancelled.
        let ended = endpoint.metric("tricorn_requests_cancelled_total").await
            + endpoint.metric("tricorn_requests_done_total").await;
        assert_eq!(ended, 1.0);
    });
}

#[test]
fn a_client_that_goes_away_before_its_answer_is_cancelled() {
    within(async {
        let endpoint = Endpoint::start().await;
        let mut request = endless();
        request["stream"] = json!(false);
        let body = request.to_string();
        let mut client = Raw::connect(endpoint.address).await;
        client
            .write(format!(
                "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: \
                 application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        endpoint.becomes("tricorn_requests_running", 1.0).await;
        drop(client);
        endpoint.becomes("tricorn_requests_running", 0.0).await;
        assert_eq!(endpoint.metric("tricorn_requests_cancelled_total").await, 1.0);
    });
}

#[test]
fn a_body_over_the_limit_is_refused_even_when_it_is_sent_first() {
    within(async {
        let endpoint = Endpoint::start().await;
        for len in [5 << 20, 10 << 20] {
            let body = json!("x".repeat(len));
            let answer = post(endpoint.address, CHAT, &body).await;
            assert_eq!(
                (answer.status.as_u16(), answer.error("code")),
                (413, json!("request_too_large"))
            );
        }
        // Without a length, it is found out on the way.
        let mut client = Raw::connect(endpoint.address).await;
        client
            .write(format!(
                "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: \
                 application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            ))
            .await;
        let chunk = "x".repeat(1 << 20);
        for _ in 0..6 {
            client.write(format!("{:x}\r\n{chunk}\r\n", chunk.len())).await;
        }
        client.write("0\r\n\r\n").await;
        assert!(client.rest().await.starts_with("HTTP/1.1 413"));
    });
}

#[test]
fn a_large_request_within_the_limit_is_answered() {
    within(async {
        let endpoint = Endpoint::start().await;
        let request = chat(json!({ "metadata": { "note": "x".repeat(3 << 20) } }));
        assert_eq!(post(endpoint.address, CHAT, &request).await.status, 200);
    });
}

#[test]
fn heads_and_bodies_that_do_not_come_are_given_up() {
    within(async {
        let endpoint = short(Duration::from_millis(200)).await;
        let mut silent = Raw::connect(endpoint.address).await;
        assert_eq!(silent.rest().await, "");
        let mut head = Raw::connect(endpoint.address).await;
        head.write("GET /health HTTP/1.1\r\nhost: local").await;
        head.rest().await;
        let mut body = Raw::connect(endpoint.address).await;
        body.write(format!(
            "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: \
             application/json\r\ncontent-length: 100\r\n\r\n{{"
        ))
        .await;
        let answer = body.rest().await;
        assert!(
            answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"),
            "{answer}"
        );
    });
}

#[test]
fn heads_that_are_too_large_or_no_http_are_refused() {
    within(async {
        let endpoint = Endpoint::start().await;
        let mut large = Raw::connect(endpoint.address).await;
        large
            .write(format!(
                "GET /health HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
                "x".repeat(40 << 10)
            ))
            .await;
        assert!(large.rest().await.starts_with("HTTP/1.1 431"));
        let mut many = Raw::connect(endpoint.address).await;
        let headers: String = (0..100).map(|index| format!("x{index}: y\r\n")).collect();
        many.write(format!("GET /health HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")).await;
        assert!(many.rest().await.starts_with("HTTP/1.1 431"));
        let mut noise = Raw::connect(endpoint.address).await;
        noise.write([0x16, 0x03, 0x01, 0x00, 0xff, b'\r', b'\n', b'\r', b'\n']).await;
        assert!(noise.rest().await.starts_with("HTTP/1.1 400"));
    });
}

#[test]
fn a_thousand_idle_connections_harm_nobody() {
    within(async {
        let endpoint = Endpoint::start().await;
        let mut idle = Vec::new();
        for _ in 0..1000 {
            idle.push(Raw::connect(endpoint.address).await);
        }
        assert_eq!(post(endpoint.address, CHAT, &chat(json!({}))).await.status, 200);
    });
}

#[test]
fn connections_beyond_the_bound_wait_for_their_turn() {
    within(async {
        let endpoint = Endpoint::limited(|config| config.limits.connections = 1).await;
        let first = Raw::connect(endpoint.address).await;
        let address = endpoint.address;
        let second = tokio::spawn(async move { post(address, CHAT, &chat(json!({}))).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!second.is_finished());
        drop(first);
        assert_eq!(second.await.unwrap().status, 200);
    });
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    within(async {
        let endpoint =
            Endpoint::limited(|config| config.limits.write_deadline = Duration::from_millis(100))
                .await;
        let mut client = Raw::connect(endpoint.address).await;
        // Answers are asked for and not read until no buffer on the way takes more.
        let request = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
        let cut = async {
            loop {
                use tokio::io::AsyncWriteExt;
                if client.0.write_all(request.as_bytes()).await.is_err() {
                    return;
                }
            }
        };
        cut.await;
        assert_eq!(post(endpoint.address, CHAT, &chat(json!({}))).await.status, 200);
    });
}

#[test]
fn other_names_for_loopback_are_refused() {
    within(async {
        let endpoint =
            Endpoint::limited(|config| config.allowed_hosts.push("box.lan".to_owned())).await;
        for (host, status) in [
            ("localhost", 200),
            ("127.0.0.1:8080", 200),
            ("[::1]", 200),
            ("box.lan", 200),
            ("evil.example", 403),
        ] {
            let mut client = Raw::connect(endpoint.address).await;
            client
                .write(format!(
                    "GET /v1/models HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
                ))
                .await;
            let answer = client.rest().await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
        }
    });
}

#[test]
fn pages_of_other_origins_read_nothing_unless_they_are_allowed() {
    within(async {
        let preflight = "OPTIONS /v1/chat/completions HTTP/1.1\r\n\
                         host: localhost\r\n\
                         origin: http://page.example\r\n\
                         access-control-request-method: POST\r\n\
                         access-control-request-headers: content-type\r\n\
                         connection: close\r\n\r\n";
        let closed = Endpoint::start().await;
        let mut client = Raw::connect(closed.address).await;
        client.write(preflight).await;
        assert!(!client.rest().await.contains("access-control-allow-origin"));
        let open = Endpoint::limited(|config| {
            config.allowed_origins.push("http://page.example".to_owned())
        })
        .await;
        let mut client = Raw::connect(open.address).await;
        client.write(preflight).await;
        assert!(client.rest().await.contains("access-control-allow-origin: http://page.example"));
        // What a form can send without asking is no request for a text.
        let mut client = Raw::connect(closed.address).await;
        let body = chat(json!({})).to_string();
        client
            .write(format!(
                "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: \
                 text/plain\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        assert!(client.rest().await.starts_with("HTTP/1.1 415"));
    });
}

#[test]
fn stopping_ends_every_stream_with_a_word() {
    within(async {
        let endpoint =
            Endpoint::limited(|config| config.limits.drain = Duration::from_millis(1)).await;
        let mut stream = events(endpoint.address, CHAT, &endless()).await;
        stream.next().await.unwrap();
        let read = tokio::spawn(async move {
            let mut last = String::new();
            while let Some(data) = stream.next().await {
                last = data;
            }
            last
        });
        endpoint.stop().await;
        let last = read.await.unwrap();
        assert!(last == "[DONE]" || last.contains("shutting_down"), "{last}");
    });
}

#[test]
fn silence_is_kept_alive_by_comments() {
    within(async {
        let engine = tricorn_device::EngineConfig {
            slots: 1,
            queue: 4,
            ..tricorn_device::EngineConfig::default()
        };
        let endpoint = Endpoint::start_with(demo(), engine, |config| {
            config.limits.keep_alive = Duration::from_millis(20)
        })
        .await;
        let mut first = events(endpoint.address, CHAT, &endless()).await;
        first.next().await.unwrap();
        // It waits for the only slot, and hears that its request is alive.
        let body = endless().to_string();
        let mut client = Raw::connect(endpoint.address).await;
        client
            .write(format!(
                "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: \
                 application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        let mut seen = String::new();
        while !seen.contains("\n:\n") {
            use tokio::io::AsyncReadExt;
            let mut buffer = [0; 1024];
            let read = client.0.read(&mut buffer).await.unwrap();
            assert!(read > 0, "{seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    });
}
