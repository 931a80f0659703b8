//! Requests that take long to prepare, on a runtime whose only thread carries all connections.

use crate::support::{Endpoint, LIMIT, Raw, events, get, post};
use serde_json::json;
use std::time::Duration;

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

/// As `tricorn device` runs it.
fn on_one_worker<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LIMIT, test).await.unwrap() })
}

#[test]
fn the_endpoint_goes_on_while_long_prompts_are_tokenised() {
    on_one_worker(async {
        let endpoint = Endpoint::start().await;
        // Each prompt might just fit by its bytes, so that they are tokenised one by one; the last
        // is refused, and with it the request.
        let mut prompts = vec!["a b ".repeat(7000); 31];
        prompts.push(String::new());
        let large = json!({ "model": "demo", "prompt": prompts }).to_string();
        let story = json!({
            "model": "demo",
            "messages": [{ "role": "user", "content": "A story." }],
            "max_tokens": 2000,
            "temperature": 0,
            "logit_bias": { "1": -100, "2": -100 },
            "stream": true,
        });
        let mut stream = events(endpoint.address, CHAT, &story).await;
        let mut client = Raw::connect(endpoint.address).await;
        let head = format!(
            "POST {COMPLETIONS} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: \
             application/json\r\n"
        );
        client.write(format!("{head}content-length: {}\r\n\r\n{large}", large.len())).await;
        let mut answer = tokio::spawn(async move { client.rest().await });
        for _ in 0..20 {
            assert_eq!(get(endpoint.address, "/health").await.status, 200);
            stream.next().await.unwrap();
        }
        assert!(!answer.is_finished(), "the long prompts were done first");
        assert!((&mut answer).await.unwrap().contains("it is empty"));
    });
}

#[test]
fn the_wait_to_be_prepared_is_part_of_a_requests_time() {
    on_one_worker(async {
        let endpoint = Endpoint::limited(|config| {
            config.limits.preparing = 0;
            config.limits.request_deadline = Some(Duration::from_millis(50));
        })
        .await;
        let request = json!({ "model": "demo", "prompt": "Once" });
        let answer = post(endpoint.address, COMPLETIONS, &request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.error("code")),
            (504, json!("deadline_exceeded")),
            "{}",
            answer.text
        );
        let crowded = Endpoint::limited(|config| {
            config.limits.preparing = 0;
            config.limits.body_deadline = Duration::from_millis(50);
        })
        .await;
        let answer = post(crowded.address, COMPLETIONS, &request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.error("code")),
            (429, json!("rate_limit_exceeded")),
            "{}",
            answer.text
        );
        assert!(answer.headers.contains_key("retry-after"));
    });
}
