//! Chat templates of many styles render as transformers' `apply_chat_template` does (tools/make_fixtures.py).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use tricorn_model::{ChatTemplate, template::Message};

#[derive(Deserialize)]
struct Style {
    tokens: serde_json::Map<String, serde_json::Value>,
    template: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    messages: Vec<Message>,
    add_generation_prompt: bool,
    expected: Option<String>,
    error: Option<String>,
}

#[test]
fn every_style_renders_as_transformers_renders_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/templates.json");
    let styles: BTreeMap<String, Style> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(styles.len() >= 8);
    for (name, style) in styles {
        let mut config = style.tokens.clone();
        config.insert("chat_template".to_owned(), json!(style.template));
        let config = serde_json::to_vec(&config).unwrap();
        let template = ChatTemplate::from_files(Some(&config), None).unwrap().unwrap();
        for case in style.cases {
            let rendered = template.render(&case.messages, case.add_generation_prompt);
            match (case.expected, case.error) {
                (Some(expected), _) => assert_eq!(rendered.expect(&name), expected, "{name}: {:?}", case.messages),
                (None, Some(reason)) => {
                    let error = rendered.unwrap_err().to_string();
                    assert!(error.contains(&reason) && !error.contains('\n'), "{name}: {error}");
                }
                (None, None) => panic!("{name}: a case without an outcome"),
            }
        }
    }
}
