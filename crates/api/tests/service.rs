//! Service paths: models, health, readiness and metrics.

use crate::support::{Cloud, Endpoint, demo, get, post, within};
use serde_json::json;

#[test]
fn the_model_is_listed_and_found() {
    within(async {
        let endpoint = Endpoint::start().await;
        let list = get(endpoint.address, "/v1/models").await.json();
        assert_eq!(list["object"], "list");
        let one = get(endpoint.address, "/v1/models/demo").await.json();
        assert_eq!(list["data"], json!([one]));
        assert_eq!(
            (&one["id"], &one["object"], &one["owned_by"]),
            (&json!("demo"), &json!("model"), &json!("tricorn"))
        );
        assert!(one["created"].as_u64().unwrap() > 1_700_000_000);
    });
}

#[test]
fn it_is_ready_when_its_cloud_is_reachable_or_not_needed() {
    within(async {
        let local = Endpoint::start().await;
        assert_eq!(get(local.address, "/health").await.status, 200);
        assert_eq!(get(local.address, "/ready").await.json()["cloud"], "local");
        let cloud = Cloud::start().await;
        let near =
            Endpoint::limited(|config| config.cloud = Some(cloud.behind(demo(), false))).await;
        assert_eq!(get(near.address, "/ready").await.json()["cloud"], "reachable");
        let offline =
            Endpoint::limited(|config| config.cloud = Some(cloud.behind(demo(), true))).await;
        assert_eq!(get(offline.address, "/ready").await.json()["cloud"], "reachable");
        cloud.stop().await;
        let away = get(near.address, "/ready").await;
        assert_eq!((away.status.as_u16(), away.headers.contains_key("retry-after")), (503, true));
        assert_eq!(away.json()["cloud"], "unreachable");
        assert_eq!(get(near.address, "/health").await.status, 200);
        let away = get(offline.address, "/ready").await;
        assert_eq!((away.status.as_u16(), &away.json()["offline"]), (200, &json!(true)));
    });
}

#[test]
fn it_is_not_ready_when_its_cloud_is_of_another_kind() {
    within(async {
        // A cloud that cuts the model elsewhere answers no request, so that drafts alone do not
        // help either.
        let cloud = Cloud::at("1:0").await;
        let wrong =
            Endpoint::limited(|config| config.cloud = Some(cloud.behind(demo(), true))).await;
        let answer = get(wrong.address, "/ready").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["cloud"]), (503, &json!("unsuitable")));
        assert!(answer.text.contains("use the same split"), "{}", answer.text);
        // What takes connections is no cloud yet: here, another endpoint.
        let other = Endpoint::start().await;
        let behind = Cloud::behind_url(&format!("http://{}", other.address), demo(), false);
        let lost = Endpoint::limited(|config| config.cloud = Some(behind)).await;
        assert_eq!(get(lost.address, "/ready").await.json()["cloud"], "unreachable");
    });
}

#[test]
fn metrics_count_requests_and_tokens() {
    within(async {
        let endpoint = Endpoint::start().await;
        let request =
            json!({ "model": "demo", "prompt": "Once", "max_tokens": 5, "temperature": 0 });
        post(endpoint.address, "/v1/completions", &request).await;
        post(endpoint.address, "/v1/completions", &json!({})).await;
        assert_eq!(endpoint.metric("tricorn_completion_tokens_total").await, 5.0);
        assert_eq!(endpoint.metric("tricorn_requests_done_total").await, 1.0);
        assert_eq!(endpoint.metric("tricorn_ttft_seconds_count").await, 1.0);
        assert_eq!(endpoint.metric("tricorn_tbt_seconds_count").await, 4.0);
        assert_eq!(endpoint.metric("tricorn_tbt_seconds_bucket{le=\"+Inf\"}").await, 4.0);
        for status in ["200", "400"] {
            let name = format!(
                "tricorn_http_requests_total{{route=\"/v1/completions\",status=\"{status}\"}}"
            );
            endpoint.becomes(&name, 1.0).await;
        }
        // Paths that nobody serves share one label.
        get(endpoint.address, "/a").await;
        get(endpoint.address, "/b").await;
        endpoint.becomes("tricorn_http_requests_total{route=\"other\",status=\"404\"}", 2.0).await;
        assert!(get(endpoint.address, "/metrics").await.text.ends_with("# EOF\n"));
    });
}

#[test]
fn the_openapi_document_describes_what_is_served() {
    within(async {
        let endpoint = Endpoint::start().await;
        let document = get(endpoint.address, "/openapi.json").await.json();
        for (path, methods) in document["paths"].as_object().unwrap() {
            let path = path.replace("{id}", "demo");
            for method in methods.as_object().unwrap().keys() {
                let answer = match method.as_str() {
                    "get" => get(endpoint.address, &path).await,
                    _ => post(endpoint.address, &path, &json!({})).await,
                };
                assert!(![404, 405].contains(&answer.status.as_u16()), "{method} {path}");
            }
        }
    });
}
