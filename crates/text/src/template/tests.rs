//! Tests of templates: what they may do, and how they end.

use super::*;

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(source, [("bos_token", "<s>".to_owned())]).unwrap()
}

fn hello() -> Vec<Message> {
    vec![Message::new("user", " hello ")]
}

#[test]
fn python_methods_and_block_trimming() {
    let source = "{% for m in messages %}\n    {% if m.role == 'user' %}\n{{ bos_token }}{{ \
                  m['content'].strip().upper() }}\n    {% endif %}\n{% endfor %}";
    assert_eq!(template(source).render(&hello(), false).unwrap(), "<s>HELLO\n");
}

#[test]
fn generation_prompt_and_absent_tools() {
    let source = "{% if tools is none and tools is defined %}a{% endif %}{% if \
                  add_generation_prompt %}b{% endif %}{{ eos_token }}";
    assert_eq!(template(source).render(&[], true).unwrap(), "ab");
    assert_eq!(template(source).render(&[], false).unwrap(), "a");
}

#[test]
fn refusal_names_the_reason() {
    let error = template("{{ raise_exception('roles must alternate') }}")
        .render(&hello(), true)
        .unwrap_err();
    assert!(error.to_string().contains("roles must alternate"), "{error}");
}

#[test]
fn a_template_without_end_is_stopped() {
    let source = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    let error = template(source).render(&hello(), true).unwrap_err();
    assert!(error.to_string().contains("does not end"), "{error}");
}

#[test]
fn the_clock_is_not_read() {
    let guarded =
        "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}26 Jul 2024{% endif %}";
    assert_eq!(template(guarded).render(&[], false).unwrap(), "26 Jul 2024");
    let error = template("{{ strftime_now('%Y') }}").render(&[], false).unwrap_err();
    assert!(error.to_string().contains("strftime_now"), "{error}");
}

#[test]
fn special_tokens_in_both_spellings_and_the_default_of_several_templates() {
    let config = br#"{
        "bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "pad_token": null,
        "chat_template": [
            {"name": "tool_use", "template": "no"},
            {"name": "default", "template": "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}"}
        ]
    }"#;
    let chosen = ChatTemplate::from_files(Some(config), None).unwrap().unwrap();
    assert_eq!(chosen.render(&[], false).unwrap(), "<s>|</s>|");
    let chosen =
        ChatTemplate::from_files(Some(config), Some(b"file {{ eos_token }}")).unwrap().unwrap();
    assert_eq!(chosen.render(&[], false).unwrap(), "file </s>");
    assert!(ChatTemplate::from_files(Some(b"{}"), None).unwrap().is_none());
    assert!(ChatTemplate::from_files(None, None).unwrap().is_none());
}

#[test]
fn a_template_that_writes_without_end_is_stopped() {
    let source = "{% set a = 'a' * 1000000 %}{% for n in range(99999) %}{{ a }}{% endfor %}";
    let error = template(source).render(&hello(), true).unwrap_err();
    assert!(error.to_string().contains("more than 32 MiB"), "{error}");
}

#[test]
fn the_template_for_tools_is_taken_when_there_are_tools() {
    let config = br#"{"chat_template": [
        {"name": "default", "template": "plain"},
        {"name": "tool_use", "template": "[TOOL_CALLS]{{ tools | length }}"}
    ]}"#;
    let chosen = ChatTemplate::from_files(Some(config), None).unwrap().unwrap();
    assert_eq!(chosen.tool_style(), Some(ToolStyle::Mistral));
    assert_eq!(chosen.render(&hello(), true).unwrap(), "plain");
    let input = ChatInput { tools: vec![serde_json::json!({})], ..ChatInput::default() };
    assert_eq!(chosen.render_chat(&input).unwrap(), "[TOOL_CALLS]1");
}

#[test]
fn variables_do_not_hide_the_conversation() {
    let mut input = ChatInput::default();
    input.variables.insert("messages".to_owned(), serde_json::json!("none"));
    input.variables.insert("bos_token".to_owned(), serde_json::json!("<b>"));
    assert_eq!(
        template("{{ bos_token }}{{ messages | length }}").render_chat(&input).unwrap(),
        "<b>0"
    );
}

#[test]
fn a_message_without_text_cannot_be_continued() {
    let render = |messages: serde_json::Value| {
        let input = ChatInput {
            messages: messages.as_array().unwrap().clone(),
            ending: Ending::Continue,
            ..ChatInput::default()
        };
        template("{% for m in messages %}[{{ m.role }}]{% endfor %}")
            .render_chat(&input)
            .unwrap_err()
            .to_string()
    };
    for none in
        [serde_json::json!([]), serde_json::json!([{"role": "user"}]), serde_json::json!(["text"])]
    {
        assert!(render(none).contains("no text to go on from"));
    }
    assert!(
        render(serde_json::json!([{"role": "user", "content": "a"}]))
            .contains("changes the last message")
    );
}
