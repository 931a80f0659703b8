//! Tool calls, with a template that has them.

use crate::support::{Endpoint, events, post, with_tools, within};
use serde_json::{Value, json};
use tricorn_device::EngineConfig;

const CHAT: &str = "/v1/chat/completions";

fn weather(more: Value) -> Value {
    let tool = |name: &str| {
        json!({ "type": "function", "function": {
            "name": name,
            "description": "The weather at a place.",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": { "enum": ["Paris", "Rome"] },
                    "days": { "type": "integer", "minimum": 1, "maximum": 7 },
                },
                "required": ["place", "days"],
                "additionalProperties": false,
            },
        } })
    };
    let mut request = json!({
        "model": "demo",
        "messages": [{ "role": "user", "content": "What will the weather be?" }],
        "tools": [tool("get_weather"), tool("get_climate")],
        "max_tokens": 120,
        "temperature": 0,
    });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

async fn endpoint() -> Endpoint {
    Endpoint::start_with(with_tools(), EngineConfig { slots: 2, ..EngineConfig::default() }, |_| ())
        .await
}

fn check(call: &Value) {
    assert_eq!(call["type"], "function");
    assert!(!call["id"].as_str().unwrap().is_empty());
    let arguments: Value =
        serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert!(arguments["place"] == "Paris" || arguments["place"] == "Rome", "{arguments}");
    assert!((1..=7).contains(&arguments["days"].as_i64().unwrap()), "{arguments}");
}

#[test]
fn a_required_call_is_made_and_matches_its_schema() {
    within(async {
        let endpoint = endpoint().await;
        let request = weather(json!({ "tool_choice": "required", "parallel_tool_calls": false }));
        let answer = post(endpoint.address, CHAT, &request).await.json();
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls");
        assert_eq!(choice["message"]["content"], Value::Null);
        assert_eq!(choice["message"]["tool_calls"].as_array().unwrap().len(), 1);
        check(&choice["message"]["tool_calls"][0]);
    });
}

#[test]
fn the_named_tool_is_called() {
    within(async {
        let endpoint = endpoint().await;
        for name in ["get_weather", "get_climate"] {
            let request = weather(
                json!({ "tool_choice": { "type": "function", "function": { "name": name } } }),
            );
            let answer = post(endpoint.address, CHAT, &request).await.json();
            let call = &answer["choices"][0]["message"]["tool_calls"][0];
            assert_eq!(call["function"]["name"], name);
            check(call);
        }
    });
}

#[test]
fn a_streamed_call_is_the_same_call() {
    within(async {
        let endpoint = endpoint().await;
        let request = weather(
            json!({ "tool_choice": "required", "parallel_tool_calls": false, "stream": true }),
        );
        let chunks = events(endpoint.address, CHAT, &request).await.chunks().await;
        let calls = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array())
            .flatten();
        let calls: Vec<&Value> = calls.collect();
        assert_eq!((calls.len(), &calls[0]["index"]), (1, &json!(0)));
        check(calls[0]);
        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
        let text: String = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(text, "");
    });
}

#[test]
fn a_call_and_its_result_are_part_of_the_conversation() {
    within(async {
        let endpoint = endpoint().await;
        let first = post(
            endpoint.address,
            CHAT,
            &weather(json!({ "tool_choice": "required", "parallel_tool_calls": false })),
        )
        .await
        .json();
        let message = first["choices"][0]["message"].clone();
        let id = &message["tool_calls"][0]["id"];
        let result = json!({ "role": "tool", "tool_call_id": id, "content": "Rain." });
        let messages =
            json!([{ "role": "user", "content": "What will the weather be?" }, message, result]);
        let second = post(
            endpoint.address,
            CHAT,
            &weather(json!({ "messages": messages, "tool_choice": "none", "max_tokens": 8 })),
        )
        .await;
        assert_eq!(second.status, 200, "{}", second.text);
        assert!(second.json()["choices"][0]["message"].get("tool_calls").is_none());
    });
}

#[test]
fn a_model_without_tools_says_so() {
    within(async {
        let endpoint = Endpoint::start().await;
        let answer = post(endpoint.address, CHAT, &weather(json!({}))).await;
        assert_eq!((answer.status.as_u16(), answer.error("param")), (400, json!("tools")));
        let unused = post(
            endpoint.address,
            CHAT,
            &weather(json!({ "tool_choice": "none", "max_tokens": 2 })),
        )
        .await;
        assert_eq!(unused.status, 200);
    });
}

#[test]
fn beside_a_schema_an_answer_may_be_a_call_or_json() {
    within(async {
        let endpoint = endpoint().await;
        let schema = json!({
            "type": "object",
            "properties": { "answer": { "enum": ["rain", "sun"] } },
            "required": ["answer"],
            "additionalProperties": false,
        });
        let format = json!({
            "type": "json_schema", "json_schema": { "name": "weather", "schema": schema }
        });
        for (begin, called) in [("<", true), ("{", false)] {
            let bias = json!({ with_tools().token(begin).to_string(): 20 });
            let request = weather(json!({
                "response_format": format, "parallel_tool_calls": false, "logit_bias": bias
            }));
            let answer = post(endpoint.address, CHAT, &request).await.json();
            let choice = &answer["choices"][0];
            if called {
                assert_eq!(
                    (&choice["finish_reason"], &choice["message"]["content"]),
                    (&json!("tool_calls"), &Value::Null),
                    "{answer}"
                );
                check(&choice["message"]["tool_calls"][0]);
            } else {
                let said: Value =
                    serde_json::from_str(choice["message"]["content"].as_str().unwrap()).unwrap();
                assert!(said["answer"] == "rain" || said["answer"] == "sun", "{answer}");
                assert_eq!(choice["finish_reason"], "stop");
            }
        }
    });
}

#[test]
fn what_is_at_fault_of_a_schema_and_tools_is_named() {
    within(async {
        let endpoint = endpoint().await;
        let format = |schema: Value| {
            let named = json!({ "name": "s", "schema": schema });
            json!({ "type": "json_schema", "json_schema": named })
        };
        let bad = json!({ "type": "nothing" });
        let tool = json!({ "type": "function", "function": {
            "name": "f", "parameters": { "properties": { "a": bad } }
        } });
        for (request, param) in [
            (
                weather(json!({ "response_format": format(bad.clone()) })),
                "response_format.json_schema.schema",
            ),
            (
                weather(json!({ "response_format": format(json!(false)) })),
                "response_format.json_schema.schema",
            ),
            (weather(json!({ "response_format": format(json!({})), "tools": [tool] })), "tools"),
        ] {
            let answer = post(endpoint.address, CHAT, &request).await;
            let told = (answer.status.as_u16(), answer.error("code"), answer.error("param"));
            assert_eq!(told, (400, json!("invalid_schema"), json!(param)), "{}", answer.text);
        }
    });
}
