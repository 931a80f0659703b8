//! Chat completions, whole and streamed.

use crate::support::{Endpoint, events, get, post, within};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

fn story(more: Value) -> Value {
    let mut request = json!({
        "model": "demo",
        "messages": [{ "role": "user", "content": "A story about a lost letter." }],
        "max_tokens": 24,
        "temperature": 0,
    });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

fn streamed(chunks: &[Value], index: usize) -> String {
    let choices = chunks.iter().flat_map(|chunk| chunk["choices"].as_array().unwrap());
    choices
        .filter(|choice| choice["index"] == index)
        .filter_map(|choice| choice["delta"]["content"].as_str())
        .collect()
}

#[test]
fn an_answer_has_openais_fields() {
    within(async {
        let endpoint = Endpoint::start().await;
        let answer = post(endpoint.address, CHAT, &story(json!({}))).await.json();
        assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"));
        assert_eq!(answer["object"], "chat.completion");
        assert_eq!(answer["model"], "demo");
        assert!(answer["created"].as_u64().unwrap() > 1_700_000_000);
        assert!(answer["system_fingerprint"].as_str().unwrap().starts_with("fp_"));
        let choice = &answer["choices"][0];
        assert_eq!(
            (&choice["index"], &choice["message"]["role"]),
            (&json!(0), &json!("assistant"))
        );
        assert_eq!(
            (&choice["finish_reason"], &choice["logprobs"]),
            (&json!("length"), &Value::Null)
        );
        assert!(!content(&answer).is_empty());
        let usage = &answer["usage"];
        assert_eq!(usage["completion_tokens"], 24);
        assert_eq!(
            usage["total_tokens"].as_u64().unwrap(),
            usage["prompt_tokens"].as_u64().unwrap() + 24
        );
        assert!(usage["prompt_tokens_details"]["cached_tokens"].is_u64());
        assert!(usage["completion_tokens_details"]["accepted_prediction_tokens"].is_u64());
        assert!(answer.get("tricorn").is_none());
    });
}

#[test]
fn a_stream_says_what_a_whole_answer_says() {
    within(async {
        let endpoint = Endpoint::start().await;
        for more in
            [json!({}), json!({ "temperature": 1.2, "seed": 5 }), json!({ "stop": [" a", " the"] })]
        {
            let whole = post(endpoint.address, CHAT, &story(more.clone())).await.json();
            let mut request = story(more);
            request["stream"] = json!(true);
            let chunks = events(endpoint.address, CHAT, &request).await.chunks().await;
            assert_eq!(streamed(&chunks, 0), content(&whole));
            assert_eq!(
                chunks[0]["choices"][0]["delta"],
                json!({ "role": "assistant", "content": "", "refusal": null })
            );
            let last = chunks.last().unwrap();
            assert_eq!(last["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"]);
            assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]
                && chunk["object"] == "chat.completion.chunk"));
            assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
        }
    });
}

#[test]
fn usage_is_in_a_last_chunk_when_asked_for() {
    within(async {
        let endpoint = Endpoint::start().await;
        let request = story(json!({ "stream": true, "stream_options": { "include_usage": true } }));
        let chunks = events(endpoint.address, CHAT, &request).await.chunks().await;
        let (last, before) = chunks.split_last().unwrap();
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"]["completion_tokens"], 24);
        assert!(
            before.iter().all(|chunk| chunk["usage"].is_null() && chunk.get("usage").is_some())
        );
    });
}

#[test]
fn a_text_ends_before_a_stop_text() {
    within(async {
        let endpoint = Endpoint::start().await;
        let whole = post(endpoint.address, CHAT, &story(json!({}))).await.json();
        let text = content(&whole);
        let middle = text.char_indices().nth(text.chars().count() / 2).unwrap().0;
        let stop: String = text[middle..].chars().take(5).collect();
        let stopped = post(endpoint.address, CHAT, &story(json!({ "stop": stop }))).await.json();
        assert_eq!(content(&stopped), &text[..text.find(&stop).unwrap()]);
        assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    });
}

#[test]
fn choices_differ_by_their_seeds_and_count_their_prompt_once() {
    within(async {
        let endpoint = Endpoint::start().await;
        let several = story(json!({ "n": 3, "temperature": 1.0, "seed": 40 }));
        let answer = post(endpoint.address, CHAT, &several).await.json();
        let mut prompt = Value::Null;
        for index in 0..3 {
            let one = post(
                endpoint.address,
                CHAT,
                &story(json!({ "temperature": 1.0, "seed": 40 + index })),
            )
            .await
            .json();
            assert_eq!(answer["choices"][index]["index"], index);
            assert_eq!(
                answer["choices"][index]["message"]["content"].as_str().unwrap(),
                content(&one)
            );
            prompt = one["usage"]["prompt_tokens"].clone();
        }
        assert_eq!(answer["usage"]["prompt_tokens"], prompt);
        let mut stream = several;
        stream["stream"] = json!(true);
        let chunks = events(endpoint.address, CHAT, &stream).await.chunks().await;
        for index in 0..3 {
            assert_eq!(
                streamed(&chunks, index),
                answer["choices"][index]["message"]["content"].as_str().unwrap()
            );
        }
    });
}

#[test]
fn parts_of_text_are_joined_and_roles_known() {
    within(async {
        let endpoint = Endpoint::start().await;
        let plain = json!([
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "One\ntwo" },
        ]);
        let parts = json!([
            { "role": "developer", "content": [{ "type": "text", "text": "Be brief." }] },
            { "role": "user", "content": [
                { "type": "text", "text": "One" },
                { "type": "text", "text": "two" },
            ] },
        ]);
        let one = post(endpoint.address, CHAT, &story(json!({ "messages": plain }))).await.json();
        let other = post(endpoint.address, CHAT, &story(json!({ "messages": parts }))).await.json();
        assert_eq!(content(&one), content(&other));
    });
}

#[test]
fn log_probabilities_go_with_every_token() {
    within(async {
        let endpoint = Endpoint::start().await;
        let request = story(json!({ "logprobs": true, "top_logprobs": 3 }));
        let answer = post(endpoint.address, CHAT, &request).await.json();
        let tokens = answer["choices"][0]["logprobs"]["content"].as_array().unwrap();
        assert_eq!(tokens.len(), 24);
        for token in tokens {
            let top = token["top_logprobs"].as_array().unwrap();
            assert_eq!(top.len(), 3);
            // Greedy: the likeliest token is the one chosen.
            assert_eq!(top[0]["logprob"], token["logprob"]);
            assert!(token["logprob"].as_f64().unwrap() <= 0.0);
        }
        let bytes = tokens
            .iter()
            .flat_map(|token| token["bytes"].as_array().unwrap())
            .map(|byte| byte.as_u64().unwrap() as u8);
        let text = String::from_utf8(bytes.collect()).unwrap();
        assert_eq!(text.trim_start(), content(&answer).trim_start());
        let mut stream = request;
        stream["stream"] = json!(true);
        let chunks = events(endpoint.address, CHAT, &stream).await.chunks().await;
        let parts =
            chunks.iter().filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array());
        assert_eq!(&parts.flatten().cloned().collect::<Vec<_>>(), tokens);
    });
}

#[test]
fn an_answer_is_held_to_a_schema() {
    within(async {
        let endpoint = Endpoint::start().await;
        let schema = json!({
            "type": "object",
            "properties": {
                "colour": { "enum": ["red", "green"] },
                "count": { "type": "integer", "minimum": 1, "maximum": 9 },
            },
            "required": ["colour", "count"],
            "additionalProperties": false,
        });
        let format = json!({
            "type": "json_schema",
            "json_schema": { "name": "thing", "schema": schema, "strict": true },
        });
        let request = story(
            json!({ "response_format": format, "max_tokens": 100, "temperature": 1.0, "seed": 3 }),
        );
        let answer = post(endpoint.address, CHAT, &request).await.json();
        let thing: Value = serde_json::from_str(content(&answer)).unwrap();
        assert!(thing["colour"] == "red" || thing["colour"] == "green", "{thing}");
        assert!((1..=9).contains(&thing["count"].as_i64().unwrap()), "{thing}");
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    });
}

#[test]
fn the_next_message_of_a_chat_finds_its_tokens() {
    within(async {
        let endpoint = Endpoint::start().await;
        let first = post(endpoint.address, CHAT, &story(json!({ "max_tokens": 200 }))).await.json();
        let messages = json!([
            { "role": "user", "content": "A story about a lost letter." },
            first["choices"][0]["message"],
            { "role": "user", "content": "And then?" },
        ]);
        let second =
            post(endpoint.address, CHAT, &story(json!({ "messages": messages }))).await.json();
        let cached = second["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
        assert!(cached >= first["usage"]["prompt_tokens"].as_u64().unwrap(), "{second}");
    });
}

#[test]
fn the_trace_tells_tokens_times_and_the_wire() {
    within(async {
        let endpoint = Endpoint::start().await;
        let asked = json!({ "tricorn": { "trace": true } });
        let answer = post(endpoint.address, CHAT, &story(asked.clone())).await.json();
        let told = &answer["tricorn"];
        for field in [
            "ttft_ms",
            "tbt_ms",
            "rounds",
            "drafted",
            "accepted",
            "accepted_per_round",
            "bytes_up",
            "bytes_down",
        ] {
            assert!(told[field].is_number(), "{field}: {told}");
        }
        assert_eq!(told["prompt_tokens"], answer["usage"]["prompt_tokens"]);
        assert_eq!(told["offline"], false);
        assert!(told["waterfall"].as_array().unwrap().iter().any(|step| step["kind"] == "sent"));
        let wire = told["wire"].as_array().unwrap();
        assert!((1..=16).contains(&wire.len()));
        assert_eq!(wire[0]["sample"].as_array().unwrap().len(), 32);

        let mut stream = story(asked);
        stream["stream"] = json!(true);
        stream["stream_options"] = json!({ "include_usage": true });
        let chunks = events(endpoint.address, CHAT, &stream).await.chunks().await;
        let tokens =
            chunks.iter().filter_map(|chunk| chunk["tricorn"]["tokens"].as_array()).flatten();
        let tokens: Vec<&Value> = tokens.collect();
        assert_eq!(tokens.len(), 24);
        assert!(tokens.iter().all(|token| token["id"].is_u64()
            && token["drafted"].is_boolean()
            && token["text"].is_string()));
        assert!(chunks.last().unwrap()["tricorn"]["waterfall"].is_array());
    });
}

#[test]
fn requests_at_once_get_their_own_texts() {
    within(async {
        let endpoint = Endpoint::start().await;
        let requests: Vec<Value> =
            (0..6).map(|seed| story(json!({ "temperature": 1.0, "seed": seed }))).collect();
        let mut alone = Vec::new();
        for request in &requests {
            alone.push(content(&post(endpoint.address, CHAT, request).await.json()).to_owned());
        }
        let address = endpoint.address;
        let together: Vec<_> = requests
            .into_iter()
            .map(|request| tokio::spawn(async move { post(address, CHAT, &request).await }))
            .collect();
        for (request, text) in together.into_iter().zip(alone) {
            assert_eq!(content(&request.await.unwrap().json()), text);
        }
        assert_eq!(get(address, "/health").await.status, 200);
    });
}
