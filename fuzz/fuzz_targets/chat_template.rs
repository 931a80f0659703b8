//! Chat templates and conversations: a template, a zero byte, and the messages as JSON. Good seeds:
//! templates of `tests/fixtures/templates.json`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tricorn_fuzz::assert_one_line;
use tricorn_text::{
    ChatTemplate,
    template::{ChatInput, Ending},
};

/// Bytes that a template may write.
const MAX_RENDERED: usize = 32 << 20;

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (source, messages) = (&bytes[..at], bytes.get(at + 1..).unwrap_or_default());
    let messages = match serde_json::from_slice(messages) {
        Ok(Value::Array(messages)) => messages,
        _ => vec![json!({ "role": "user", "content": "Hello" })],
    };
    for read in
        [ChatTemplate::from_files(None, Some(source)), ChatTemplate::from_files(Some(source), None)]
    {
        match read {
            Ok(Some(template)) => render(&template, &messages),
            Ok(None) => {}
            Err(error) => assert_one_line(&error),
        }
    }
});

fn render(template: &ChatTemplate, messages: &[Value]) {
    let tool = json!({ "type": "function", "function": { "name": "f", "parameters": {} } });
    for (ending, tools) in
        [(Ending::Answer, vec![tool]), (Ending::Continue, vec![]), (Ending::Closed, vec![])]
    {
        let messages = template.openai_messages(messages);
        let input = ChatInput { messages, tools, ending, ..ChatInput::default() };
        match template.render_chat(&input) {
            Ok(text) => assert!(text.len() <= MAX_RENDERED),
            Err(error) => assert_one_line(&error),
        }
    }
}
