//! Ids that llama.cpp gives (tools/make_gguf_fixtures.py).
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::*;
use crate::formats::gguf::metadata::{Scalar, Value};
use tricorn_text::tokenizer::TextTokenizer;

fn texts(json: &Json) -> Value {
    Value::Texts(
        json.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
    )
}

fn metadata(vocabulary: &Json, settings: &Json) -> Metadata {
    let mut values = BTreeMap::new();
    let mut set = |key: &str, value: Value| values.insert(format!("tokenizer.ggml.{key}"), value);
    set("model", Value::Text(vocabulary["model"].as_str().unwrap().to_owned()));
    set("tokens", texts(&vocabulary["tokens"]));
    let kinds = vocabulary["kinds"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|kind| (kind.as_i64().unwrap() as i32).to_le_bytes());
    set("token_type", Value::Numbers(Scalar::I32, kinds.collect()));
    if let Some(scores) = vocabulary["scores"].as_array() {
        let scores = scores.iter().flat_map(|score| (score.as_f64().unwrap() as f32).to_le_bytes());
        set("scores", Value::Numbers(Scalar::F32, scores.collect()));
    }
    if vocabulary["merges"].is_array() {
        set("merges", texts(&vocabulary["merges"]));
    }
    for which in ["bos", "eos"] {
        let id = u32::try_from(vocabulary[which].as_u64().unwrap()).unwrap();
        set(&format!("{which}_token_id"), Value::Number(Scalar::U32, id.to_le_bytes().to_vec()));
    }
    for (key, value) in settings.as_object().unwrap() {
        match value {
            Json::String(text) => set(key, Value::Text(text.clone())),
            flag => set(key, Value::Number(Scalar::Bool, vec![flag.as_bool().unwrap().into()])),
        };
    }
    Metadata::new("test.gguf", values)
}

#[test]
fn ids_are_those_of_llama_cpp() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/gguf/tokenizers.json");
    let fixture: Vec<Json> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let numbers = |ids: &Json| -> Vec<u32> { serde_json::from_value(ids.clone()).unwrap() };
    let mut checked = 0;
    for group in &fixture {
        for case in group["cases"].as_array().unwrap() {
            let json = tokenizer(&metadata(&group["vocabulary"], &case["settings"])).unwrap();
            let tokenizer = TextTokenizer::from_bytes(json.to_string().as_bytes()).unwrap();
            assert_eq!(
                tokenizer.encode("the hat", true).unwrap(),
                numbers(&case["alone"]),
                "{}",
                case["settings"]
            );
            for pair in case["ids"].as_array().unwrap() {
                let text = pair[0].as_str().unwrap();
                assert_eq!(
                    tokenizer.encode(text, false).unwrap(),
                    numbers(&pair[1]),
                    "{text:?} with {}",
                    case["settings"]
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 600, "{checked}");
}
