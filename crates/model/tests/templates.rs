//! Chat templates of many styles render as transformers' `apply_chat_template` does
//! (tools/make_fixtures.py).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tricorn_text::{
    ChatTemplate,
    template::{ChatInput, Ending},
    tool_calls::ToolStyle,
};

#[derive(Deserialize)]
struct Fixtures {
    conversations: Vec<Conversation>,
    styles: BTreeMap<String, Style>,
}

#[derive(Deserialize)]
struct Conversation {
    messages: Vec<Value>,
    #[serde(default)]
    tools: Vec<Value>,
    #[serde(default)]
    documents: Vec<Value>,
    #[serde(default)]
    variables: Map<String, Value>,
    #[serde(default)]
    continue_final_message: bool,
}

#[derive(Deserialize)]
struct Style {
    tokens: Map<String, Value>,
    template: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    conversation: usize,
    add_generation_prompt: bool,
    expected: Option<String>,
    error: Option<String>,
}

fn fixtures() -> Fixtures {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/templates.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

impl Style {
    fn template(&self) -> ChatTemplate {
        let mut config = self.tokens.clone();
        config.insert("chat_template".to_owned(), json!(self.template));
        let config = serde_json::to_vec(&config).unwrap();
        ChatTemplate::from_files(Some(&config), None).unwrap().unwrap()
    }
}

impl Conversation {
    fn input(&self, add_generation_prompt: bool) -> ChatInput {
        let ending = match (self.continue_final_message, add_generation_prompt) {
            (true, _) => Ending::Continue,
            (false, true) => Ending::Answer,
            (false, false) => Ending::Closed,
        };
        let Self { messages, tools, documents, variables, .. } = self;
        ChatInput {
            messages: messages.clone(),
            tools: tools.clone(),
            documents: documents.clone(),
            variables: variables.clone(),
            ending,
        }
    }
}

#[test]
fn every_style_renders_as_transformers_renders_it() {
    let Fixtures { conversations, styles } = fixtures();
    assert!(styles.len() >= 12);
    for (name, style) in styles {
        let template = style.template();
        for case in style.cases {
            let rendered = template
                .render_chat(&conversations[case.conversation].input(case.add_generation_prompt));
            match (case.expected, case.error) {
                (Some(expected), _) => assert_eq!(
                    rendered.expect(&name),
                    expected,
                    "{name}: conversation {}",
                    case.conversation
                ),
                (None, Some(reason)) => {
                    let error = rendered.expect_err(&name).to_string();
                    assert!(error.contains(&reason) && !error.contains('\n'), "{name}: {error}");
                }
                (None, None) => panic!("{name}: a case without an outcome"),
            }
        }
    }
}

#[test]
fn the_style_of_tool_calls_is_seen_in_the_template() {
    let styles = fixtures().styles;
    let known =
        |(name, style): (&String, &Style)| Some((name.clone(), style.template().tool_style()?));
    let known: Vec<(String, ToolStyle)> = styles.iter().filter_map(known).collect();
    let expected = [
        ("llama3.1", ToolStyle::Llama),
        ("mistral", ToolStyle::Mistral),
        ("qwen2.5", ToolStyle::Hermes),
    ];
    assert_eq!(known, expected.map(|(name, style)| (name.to_owned(), style)));
}

/// What a client of OpenAI's API sends for a conversation in the fixtures.
fn as_a_client_sends_it(message: &Value) -> Value {
    let mut message = message.clone();
    message["refusal"] = Value::Null;
    for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        call["function"]["arguments"] = json!(call["function"]["arguments"].to_string());
    }
    if let Some(text) = message["content"].as_str().map(str::to_owned) {
        message["content"] = json!([{ "type": "text", "text": text }]);
    }
    if message["role"] == "system" {
        message["role"] = json!("developer");
    }
    message
}

#[test]
fn messages_of_openais_api_render_as_the_same_messages_of_transformers() {
    let Fixtures { conversations, styles } = fixtures();
    let mut compared = 0;
    for (name, style) in styles {
        let template = style.template();
        for case in style.cases {
            let mut input = conversations[case.conversation].input(case.add_generation_prompt);
            let (Some(expected), true) = (
                case.expected,
                input.messages.iter().all(|message| !message["content"].is_array()),
            ) else {
                continue;
            };
            let sent: Vec<Value> = input.messages.iter().map(as_a_client_sends_it).collect();
            input.messages = template.openai_messages(&sent);
            assert_eq!(
                template.render_chat(&input).expect(&name),
                expected,
                "{name}: conversation {}",
                case.conversation
            );
            compared += 1;
        }
    }
    assert!(compared > 150, "{compared}");
}

#[test]
fn ids_that_mistral_refuses_are_made_to_fit() {
    let Fixtures { conversations, styles } = fixtures();
    let style = &styles["mistral"];
    let template = style.template();
    let mut input = conversations[8].input(true);
    input.messages[2]["tool_calls"][0]["id"] = json!("call_0-9");
    input.messages[3]["tool_call_id"] = json!("call_0-9");
    assert!(template.render_chat(&input).is_err());
    input.messages = template.openai_messages(&input.messages);
    let rendered = template.render_chat(&input).unwrap();
    assert!(
        rendered.contains(r#""id": "000call09""#) && rendered.contains(r#""call_id": "000call09""#),
        "{rendered}"
    );
}
