//! Errors of a request, told in OpenAI's form by the field's name.

use crate::support::{Endpoint, demo, events, get, post, within};
use serde_json::{Map, Value, json};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

/// Posts each body and checks status, `param` and `code`.
async fn refused(endpoint: &Endpoint, path: &str, cases: Vec<(Value, u16, Value, Value)>) {
    for (body, status, param, code) in cases {
        let answer = post(endpoint.address, path, &body).await;
        let told = (answer.status.as_u16(), answer.error("param"), answer.error("code"));
        assert_eq!(told, (status, param, code), "{body}: {}", answer.text);
        assert_eq!(answer.error("type"), "invalid_request_error");
        let message = answer.error("message");
        assert!(
            message.as_str().is_some_and(|message| !message.is_empty() && !message.contains('\n')),
            "{message}"
        );
    }
}

fn chat(more: Value) -> Value {
    let messages = json!([{ "role": "user", "content": "Hello" }]);
    let mut request = json!({ "model": "demo", "messages": messages, "max_tokens": 1 });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

#[test]
fn fields_that_are_unknown_or_unsupported_are_named() {
    within(async {
        let endpoint = Endpoint::start().await;
        let answer = post(endpoint.address, CHAT, &chat(json!({ "foo": 1 }))).await;
        assert_eq!(answer.error("message"), "Unrecognized request argument supplied: foo");
        let unknown = json!("unknown_parameter");
        let unsupported = json!("unsupported_parameter");
        let part = |kind: &str| {
            let content = json!([{ "type": kind, kind: {} }]);
            json!({ "messages": [{ "role": "user", "content": content }] })
        };
        refused(
            &endpoint,
            CHAT,
            vec![
                (chat(json!({ "foo": null })), 400, json!("foo"), unknown.clone()),
                (
                    chat(json!({ "stream": true, "stream_options": { "x": 1 } })),
                    400,
                    json!("stream_options.x"),
                    unknown.clone(),
                ),
                (
                    chat(json!({ "response_format": { "type": "json_object", "schema": {} } })),
                    400,
                    json!("response_format.schema"),
                    unknown.clone(),
                ),
                (chat(json!({ "tricorn": { "x": 1 } })), 400, json!("tricorn.x"), unknown.clone()),
                (
                    chat(json!({ "messages": [{ "role": "user", "content": "a", "x": 1 }] })),
                    400,
                    json!("messages[0].x"),
                    unknown,
                ),
                (chat(json!({ "audio": {} })), 400, json!("audio"), unsupported.clone()),
                (
                    chat(json!({ "modalities": ["audio"] })),
                    400,
                    json!("modalities"),
                    unsupported.clone(),
                ),
                (
                    chat(json!({ "web_search_options": {} })),
                    400,
                    json!("web_search_options"),
                    unsupported.clone(),
                ),
                (
                    chat(json!({ "functions": [{ "name": "f" }] })),
                    400,
                    json!("functions"),
                    unsupported.clone(),
                ),
                (
                    chat(part("image_url")),
                    400,
                    json!("messages[0].content[0].image_url"),
                    unsupported.clone(),
                ),
                (
                    chat(part("input_audio")),
                    400,
                    json!("messages[0].content[0].input_audio"),
                    unsupported,
                ),
            ],
        )
        .await;
        let harmless = json!({
            "user": "u",
            "metadata": {},
            "store": false,
            "service_tier": "auto",
            "modalities": ["text"],
            "audio": null,
        });
        assert_eq!(post(endpoint.address, CHAT, &chat(harmless)).await.status, 200);
    });
}

#[test]
fn values_of_other_types_or_out_of_range_are_named() {
    within(async {
        let endpoint = Endpoint::start().await;
        let (kind, value) = (json!("invalid_type"), json!("invalid_value"));
        let missing = json!("missing_required_parameter");
        let many: Map<_, _> = (0..1025).map(|id| (id.to_string(), json!(1))).collect();
        let cases = vec![
            (json!({ "temperature": "hot" }), "temperature", kind.clone()),
            (json!({ "temperature": 2.5 }), "temperature", json!("decimal_above_max_value")),
            (json!({ "temperature": -1 }), "temperature", value.clone()),
            (json!({ "top_p": 0 }), "top_p", value.clone()),
            (json!({ "top_k": -2 }), "top_k", value.clone()),
            (json!({ "min_p": 1.5 }), "min_p", value.clone()),
            (json!({ "presence_penalty": 3 }), "presence_penalty", value.clone()),
            (json!({ "frequency_penalty": -3 }), "frequency_penalty", value.clone()),
            (json!({ "repetition_penalty": 0 }), "repetition_penalty", value.clone()),
            (json!({ "logit_bias": { "x": 1 } }), "logit_bias", value.clone()),
            (json!({ "logit_bias": { "1": 101 } }), "logit_bias", value.clone()),
            (json!({ "logit_bias": { "99999999": 1 } }), "logit_bias", value.clone()),
            (json!({ "logit_bias": { "1": 1, "01": 2 } }), "logit_bias", value.clone()),
            (json!({ "logit_bias": { "1": 1, "+1": 1 } }), "logit_bias", value.clone()),
            (json!({ "logit_bias": many }), "logit_bias", value.clone()),
            (json!({ "seed": 1.5 }), "seed", kind.clone()),
            (json!({ "n": 0 }), "n", value.clone()),
            (json!({ "n": 9 }), "n", value.clone()),
            (json!({ "max_tokens": 0 }), "max_tokens", json!("integer_below_min_value")),
            (json!({ "max_tokens": -1 }), "max_tokens", value.clone()),
            (json!({ "max_tokens": 1_000_000 }), "max_tokens", value.clone()),
            (json!({ "max_completion_tokens": 5 }), "max_tokens", Value::Null),
            (json!({ "stop": ["a", "b", "c", "d", "e"] }), "stop", json!("array_above_max_length")),
            (json!({ "stop": "" }), "stop", value.clone()),
            (json!({ "stop": 5 }), "stop", value.clone()),
            (json!({ "top_logprobs": 2 }), "top_logprobs", Value::Null),
            (json!({ "logprobs": true, "top_logprobs": 21 }), "top_logprobs", value.clone()),
            (json!({ "stream_options": {} }), "stream_options", Value::Null),
            (json!({ "messages": [] }), "messages", json!("empty_array")),
            (json!({ "messages": "hello" }), "messages", kind.clone()),
            (
                json!({ "messages": [{ "role": "king", "content": "a" }] }),
                "messages[0].role",
                value.clone(),
            ),
            (json!({ "messages": [{ "role": "user" }] }), "messages[0].content", kind.clone()),
            (json!({ "messages": [{ "content": "a" }] }), "messages[0].role", missing.clone()),
            (
                json!({ "messages": [{ "role": "tool", "content": "a" }] }),
                "messages[0].tool_call_id",
                missing.clone(),
            ),
            (
                json!({ "response_format": { "type": "xml" } }),
                "response_format.type",
                value.clone(),
            ),
            (json!({ "tool_choice": "required" }), "tool_choice", value.clone()),
            (
                json!({ "tricorn": { "trace": true }, "n": 2 }),
                "tricorn.trace",
                json!("unsupported_parameter"),
            ),
        ];
        let cases = cases
            .into_iter()
            .map(|(more, param, code)| (chat(more), 400, json!(param), code))
            .collect();
        refused(&endpoint, CHAT, cases).await;
        let prompt = |prompt: Value| json!({ "model": "demo", "prompt": prompt });
        refused(
            &endpoint,
            COMPLETIONS,
            vec![
                (json!({ "model": "demo" }), 400, json!("prompt"), missing),
                (prompt(json!({ "a": 1 })), 400, json!("prompt"), value.clone()),
                (prompt(json!("")), 400, json!("prompt"), value.clone()),
                (prompt(json!([])), 400, json!("prompt"), value.clone()),
                (prompt(json!([99_999_999])), 400, json!("prompt"), value.clone()),
                (
                    json!({ "model": "demo", "prompt": "a", "logprobs": 6 }),
                    400,
                    json!("logprobs"),
                    value,
                ),
                (
                    json!({ "model": "demo", "prompt": "a", "suffix": "b" }),
                    400,
                    json!("suffix"),
                    json!("unsupported_parameter"),
                ),
            ],
        )
        .await;
    });
}

#[test]
fn models_paths_methods_and_types_that_are_not_served_are_told() {
    within(async {
        let endpoint = Endpoint::start().await;
        let other = post(endpoint.address, CHAT, &chat(json!({ "model": "gpt-4o" }))).await;
        assert_eq!((other.status.as_u16(), other.error("code")), (404, json!("model_not_found")));
        assert_eq!(
            other.error("message"),
            "The model `gpt-4o` does not exist or you do not have access to it."
        );
        let unnamed = post(
            endpoint.address,
            CHAT,
            &json!({ "messages": [{ "role": "user", "content": "Hello" }] }),
        )
        .await;
        assert_eq!(
            (unnamed.status.as_u16(), unnamed.error("message")),
            (400, json!("you must provide a model parameter"))
        );
        let path = post(endpoint.address, "/v1/nothing", &json!({})).await;
        assert_eq!(
            (path.status.as_u16(), path.error("message")),
            (404, json!("Invalid URL (POST /v1/nothing)"))
        );
        assert_eq!(get(endpoint.address, "/v1/models/other").await.status, 404);
        let method = get(endpoint.address, CHAT).await;
        assert_eq!(
            (method.status.as_u16(), method.error("code")),
            (405, json!("method_not_supported"))
        );
        assert!(method.headers["allow"].to_str().unwrap().contains("POST"));
    });
}

#[test]
fn bodies_that_are_no_json_objects_are_told() {
    within(async {
        let endpoint = Endpoint::start().await;
        for body in ["", "{", "[]", "5", "{\"model\": \"demo\",}", "nul"] {
            let answer = post(endpoint.address, CHAT, &json!(body)).await;
            assert_eq!(
                (answer.status.as_u16(), answer.error("code")),
                (400, json!("invalid_json")),
                "{body}"
            );
        }
        let deep = "[".repeat(100_000);
        let answer = post(endpoint.address, CHAT, &json!(format!("{{\"metadata\": {deep}"))).await;
        assert_eq!(answer.error("code"), "invalid_json");
    });
}

#[test]
fn a_prompt_over_the_context_tells_both_numbers() {
    within(async {
        let endpoint = Endpoint::start().await;
        let long = "word ".repeat(4000);
        let request = chat(json!({ "messages": [{ "role": "user", "content": long }] }));
        let answer = post(endpoint.address, CHAT, &request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.error("code")),
            (400, json!("context_length_exceeded"))
        );
        let message = answer.error("message");
        let numbers = message
            .as_str()
            .unwrap()
            .split(' ')
            .filter_map(|word| word.parse::<usize>().ok())
            .collect::<Vec<_>>();
        assert!(numbers.len() == 2 && numbers[1] > numbers[0], "{message}");
        // As well where a stream was asked for: it had not begun.
        let mut stream = request;
        stream["stream"] = json!(true);
        assert_eq!(post(endpoint.address, CHAT, &stream).await.status, 400);
        // What no tokenizer makes short enough is refused by its length, and the field is the one
        // that brought it.
        for words in [4000, 600_000] {
            let long = "word ".repeat(words);
            let conversation = post(
                endpoint.address,
                CHAT,
                &chat(json!({ "messages": [{ "role": "user", "content": long }] })),
            )
            .await;
            let prompt =
                post(endpoint.address, COMPLETIONS, &json!({ "model": "demo", "prompt": long }))
                    .await;
            for (answer, param) in [(conversation, "messages"), (prompt, "prompt")] {
                let told = (answer.status.as_u16(), answer.error("code"), answer.error("param"));
                assert_eq!(told, (400, json!("context_length_exceeded"), json!(param)));
                let message = answer.error("message");
                assert_eq!(
                    message.as_str().unwrap().contains("at least"),
                    words > 4000,
                    "{message}"
                );
                assert!(
                    message.as_str().unwrap().contains(param.trim_end_matches('s')),
                    "{message}"
                );
            }
        }
    });
}

#[test]
fn schemas_that_cannot_be_used_are_told() {
    within(async {
        let endpoint = Endpoint::start().await;
        let schemas = [
            json!({ "type": "nothing" }),
            json!({ "type": "integer", "minimum": 5, "maximum": 3 }),
            json!({ "$ref": "#/$defs/missing" }),
        ];
        for schema in schemas {
            let format =
                json!({ "type": "json_schema", "json_schema": { "name": "s", "schema": schema } });
            let answer =
                post(endpoint.address, CHAT, &chat(json!({ "response_format": format }))).await;
            assert_eq!(answer.status, 400, "{schema}: {}", answer.text);
            assert_eq!(answer.error("param"), "response_format.json_schema.schema");
        }
    });
}

#[test]
fn one_request_too_many_is_told_to_come_back() {
    within(async {
        let engine = tricorn_device::EngineConfig {
            slots: 1,
            queue: 1,
            ..tricorn_device::EngineConfig::default()
        };
        let endpoint = Endpoint::start_with(demo(), engine, |_| ()).await;
        let long = chat(json!({
            "max_tokens": 2000, "stream": true, "temperature": 1, "logit_bias": { "2": -100 }
        }));
        let mut running = events(endpoint.address, CHAT, &long).await;
        running.next().await.unwrap();
        let address = endpoint.address;
        let waiting = tokio::spawn(async move { events(address, CHAT, &long).await });
        endpoint.becomes("tricorn_requests_waiting", 1.0).await;
        let answer = post(endpoint.address, CHAT, &chat(json!({}))).await;
        assert_eq!(
            (answer.status.as_u16(), answer.error("code")),
            (429, json!("rate_limit_exceeded")),
            "{}",
            answer.text
        );
        assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
        drop(running);
        waiting.abort();
    });
}

#[test]
fn what_is_repeated_of_a_request_is_short() {
    within(async {
        let endpoint = Endpoint::start().await;
        let long = "x".repeat(100_000);
        let requests = [
            chat(json!({ long.clone(): 1 })),
            chat(json!({ "tricorn": { long.clone(): 1 } })),
            chat(json!({ "logit_bias": { long.clone(): "1" } })),
            chat(json!({ "n": long })),
            chat(json!({ "messages": [{ "role": long, "content": "a" }] })),
            chat(json!({ "messages": [{ "role": "user", "content": [{ "type": long }] }] })),
            chat(json!({
                "response_format": { "type": "json_schema", "json_schema": { "name": long } },
            })),
            chat(json!({
                "tools": [{ "type": "function", "function": { "name": "f" } }],
                "tool_choice": long,
            })),
            chat(json!({
                "tools": [{ "type": "function", "function": { "name": "f" } }],
                "tool_choice": { "type": "function", "function": { "name": long } },
            })),
            json!(json!(long).to_string()),
        ];
        for request in requests {
            let answer = post(endpoint.address, CHAT, &request).await;
            assert_eq!(answer.status, 400);
            assert!(answer.text.len() < 600, "{}", &answer.text[..600]);
        }
    });
}
