//! Prompts and replies of models with tools.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use tricorn_text::{
    ChatTemplate, TextTokenizer,
    template::ChatInput,
    tool_calls::{ToolChoice, ToolError},
};

use super::prompter::Prompter;
use crate::error::DeviceError;

fn fixture(path: &str) -> String {
    std::fs::read_to_string(format!("{}/../../tests/fixtures/{path}", env!("CARGO_MANIFEST_DIR")))
        .unwrap()
}

/// A style's template with a vocabulary in which `[TOOL_CALLS]` is the special token 277.
fn prompter(style: &str) -> Prompter {
    let tokenizer = fixture("llama/tokenizer.json").replace("<|endoftext|>", "[TOOL_CALLS]");
    let fixtures: Value = serde_json::from_str(&fixture("templates.json")).unwrap();
    let template = fixtures["styles"][style]["template"]
        .as_str()
        .map(|source| ChatTemplate::new(source, []).unwrap());
    Prompter::new(TextTokenizer::from_bytes(tokenizer.as_bytes()).unwrap(), template)
}

fn tools() -> Vec<Value> {
    vec![json!({ "type": "function", "function": { "name": "time" } })]
}

#[test]
fn a_conversation_of_openais_api_becomes_a_prompt() {
    let prompter = prompter("qwen2.5");
    let function = json!({ "name": "time", "arguments": "{\"zone\":1}" });
    let call = json!({ "id": "a", "type": "function", "function": function });
    let messages = vec![
        json!({ "role": "user", "content": [{ "type": "text", "text": "When?" }] }),
        json!({ "role": "assistant", "content": null, "tool_calls": [call] }),
        json!({ "role": "tool", "tool_call_id": "a", "content": "noon" }),
    ];
    let rendered =
        prompter.render(&ChatInput { messages, tools: tools(), ..ChatInput::default() }).unwrap();
    assert!(rendered.contains("<|im_start|>user\nWhen?<|im_end|>\n"), "{rendered}");
    assert!(
        rendered.contains(
            "<tool_call>\n{\"name\": \"time\", \"arguments\": {\"zone\": 1}}\n</tool_call>"
        ),
        "{rendered}"
    );
    assert!(
        rendered.ends_with("noon\n</tool_response><|im_end|>\n<|im_start|>assistant\n"),
        "{rendered}"
    );
}

#[test]
fn what_cannot_be_rendered_is_refused() {
    let input = ChatInput {
        messages: vec![json!({ "role": "user", "content": "a" })],
        ..ChatInput::default()
    };
    assert!(matches!(prompter("none").render(&input), Err(DeviceError::NoTemplate)));
    assert!(matches!(
        prompter("demo").render(&ChatInput::default()),
        Err(DeviceError::EmptyPrompt)
    ));
    assert_eq!(
        prompter("demo").tool_grammar(&tools(), ToolChoice::Required, true),
        Err(ToolError::NoStyle)
    );
    assert!(prompter("demo").tool_parser(&tools()).is_none());
}

#[test]
fn a_marker_that_is_a_special_token_is_in_the_reply_and_its_id_in_the_grammar() {
    let prompter = prompter("mistral");
    let grammar = prompter.tool_grammar(&tools(), ToolChoice::Named("time"), false).unwrap();
    assert!(grammar.starts_with("start: <[277]> "), "{grammar}");
    let answer =
        [&[277][..], &prompter.special(" [{\"name\": \"time\", \"arguments\": {}}]").unwrap()]
            .concat();
    let (mut reply, mut parser) =
        (prompter.reply(&[5, 6], &[]).unwrap(), prompter.tool_parser(&tools()).unwrap());
    let mut calls = Vec::new();
    for id in answer {
        let parsed = parser.push(&reply.push(id).unwrap());
        assert_eq!(parsed.content, "");
        calls.extend(parsed.calls);
    }
    assert_eq!(
        calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect::<Vec<_>>(),
        [("time", "{}")]
    );
}

#[test]
fn a_tokens_text_and_bytes() {
    let prompter = prompter("demo");
    let ids = prompter.special("é東").unwrap();
    let texts: Vec<(String, Vec<u8>)> = ids.iter().map(|&id| prompter.token_text(id)).collect();
    assert_eq!(
        texts.iter().flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(),
        "é東".as_bytes()
    );
    assert!(texts.iter().all(|(text, bytes)| *text == String::from_utf8_lossy(bytes)));
    assert_eq!(prompter.token_text(99_999), (String::new(), Vec::new()));
}
