//! Completions: prompts as they are, without a chat template.

use crate::support::{Endpoint, events, post, within};
use serde_json::{Map, Value, json};

const COMPLETIONS: &str = "/v1/completions";

fn once(more: Value) -> Value {
    let mut request = json!({
        "model": "demo", "prompt": "Once upon a time", "max_tokens": 12, "temperature": 0
    });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

fn text(answer: &Value, index: usize) -> &str {
    answer["choices"][index]["text"].as_str().unwrap()
}

#[test]
fn an_answer_has_openais_fields() {
    within(async {
        let endpoint = Endpoint::start().await;
        let answer = post(endpoint.address, COMPLETIONS, &once(json!({}))).await.json();
        assert!(answer["id"].as_str().unwrap().starts_with("cmpl-"));
        assert_eq!(
            (&answer["object"], &answer["usage"]["completion_tokens"]),
            (&json!("text_completion"), &json!(12))
        );
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
        assert!(!text(&answer, 0).is_empty());
        let unsaid = post(
            endpoint.address,
            COMPLETIONS,
            &json!({ "model": "demo", "prompt": "A", "temperature": 0 }),
        )
        .await
        .json();
        assert!(unsaid["usage"]["completion_tokens"].as_u64().unwrap() <= 16);
    });
}

#[test]
fn a_stream_says_what_a_whole_answer_says() {
    within(async {
        let endpoint = Endpoint::start().await;
        for echo in [false, true] {
            let request = once(json!({ "echo": echo, "n": 2, "temperature": 0.9, "seed": 1 }));
            let whole = post(endpoint.address, COMPLETIONS, &request).await.json();
            let mut stream = request;
            stream["stream"] = json!(true);
            let chunks = events(endpoint.address, COMPLETIONS, &stream).await.chunks().await;
            for index in 0..2 {
                let pieces = chunks
                    .iter()
                    .map(|chunk| &chunk["choices"][0])
                    .filter(|choice| choice["index"] == index);
                let joined: String =
                    pieces.map(|choice| choice["text"].as_str().unwrap()).collect();
                assert_eq!(joined, text(&whole, index));
                assert_eq!(joined.starts_with("Once upon a time"), echo);
            }
        }
    });
}

#[test]
fn several_prompts_are_answered_in_order_and_tokens_are_prompts_too() {
    within(async {
        let endpoint = Endpoint::start().await;
        let prompts = ["Once upon a time", "The old dog"];
        let together =
            post(endpoint.address, COMPLETIONS, &once(json!({ "prompt": prompts, "n": 2 })))
                .await
                .json();
        let mut tokens = 0;
        for (index, prompt) in prompts.iter().enumerate() {
            let one = post(endpoint.address, COMPLETIONS, &once(json!({ "prompt": prompt })))
                .await
                .json();
            assert_eq!(text(&together, 2 * index), text(&one, 0));
            assert_eq!(text(&together, 2 * index + 1), text(&one, 0));
            tokens += one["usage"]["prompt_tokens"].as_u64().unwrap();
        }
        assert_eq!(together["usage"]["prompt_tokens"], tokens);
        let ids = post(
            endpoint.address,
            COMPLETIONS,
            &once(json!({ "prompt": [5, 6, 7], "echo": true })),
        )
        .await
        .json();
        let nested = post(
            endpoint.address,
            COMPLETIONS,
            &once(json!({ "prompt": [[5, 6, 7]], "echo": true })),
        )
        .await
        .json();
        assert_eq!(text(&ids, 0), text(&nested, 0));
        assert_eq!(ids["usage"]["prompt_tokens"], 3);
    });
}

#[test]
fn log_probabilities_are_lists_with_offsets_into_the_text() {
    within(async {
        let endpoint = Endpoint::start().await;
        let answer =
            post(endpoint.address, COMPLETIONS, &once(json!({ "logprobs": 2 }))).await.json();
        let logprobs = &answer["choices"][0]["logprobs"];
        let list = |name: &str| logprobs[name].as_array().unwrap().clone();
        assert_eq!(list("tokens").len(), 12);
        assert!(list("token_logprobs").iter().all(|logprob| logprob.as_f64().unwrap() <= 0.0));
        for (token, top) in list("tokens").iter().zip(list("top_logprobs")) {
            assert!(top.as_object().unwrap().contains_key(token.as_str().unwrap()));
        }
        let offsets: Vec<u64> =
            list("text_offset").iter().map(|offset| offset.as_u64().unwrap()).collect();
        for (token, offset) in list("tokens").iter().zip(&offsets) {
            let rest: String = text(&answer, 0).chars().skip(*offset as usize).collect();
            assert!(rest.starts_with(token.as_str().unwrap()), "{token} at {offset}");
        }
        let mut stream = once(json!({ "logprobs": 2 }));
        stream["stream"] = json!(true);
        let chunks = events(endpoint.address, COMPLETIONS, &stream).await.chunks().await;
        let streamed = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["logprobs"]["text_offset"].as_array())
            .flatten();
        assert_eq!(streamed.map(|offset| offset.as_u64().unwrap()).collect::<Vec<_>>(), offsets);
    });
}

#[test]
fn tokens_that_are_parts_of_characters_are_told_as_bytes() {
    within(async {
        let endpoint = Endpoint::start().await;
        let vocabulary: Value =
            serde_json::from_str(include_str!("../../../models/demo/tokenizer.json")).unwrap();
        // In GPT-2's alphabet, \u{f0} stands for the byte 0xF0 and \u{f1} for 0xF1. No text has
        // either.
        let id = |letter: &str| vocabulary["model"]["vocab"][letter].to_string();
        let mut bias = Map::new();
        bias.insert(id("\u{f0}"), json!(100));
        let answer = post(
            endpoint.address,
            COMPLETIONS,
            &once(json!({ "logprobs": 2, "logit_bias": bias })),
        )
        .await
        .json();
        let logprobs = &answer["choices"][0]["logprobs"];
        assert_eq!(logprobs["tokens"], json!(vec!["bytes:\\xf0"; 12]));
        assert!(
            logprobs["top_logprobs"][0].as_object().unwrap().contains_key("bytes:\\xf0"),
            "{logprobs}"
        );
        // Each became a replacement character, which is one character of the text.
        assert_eq!(text(&answer, 0), "\u{FFFD}".repeat(12));
        assert_eq!(logprobs["text_offset"], json!((0..12).collect::<Vec<_>>()));
    });
}
