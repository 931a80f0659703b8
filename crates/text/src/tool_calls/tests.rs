//! Calls found in texts, and grammars made for them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Parsed, ToolCall, ToolCallParser, ToolChoice, ToolError, ToolStyle};

const STYLES: [ToolStyle; 3] = [ToolStyle::Llama, ToolStyle::Hermes, ToolStyle::Mistral];

fn tools() -> Vec<Value> {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let function = json!({"name": "weather", "parameters": parameters});
    let weather = json!({"type": "function", "function": function});
    vec![weather, json!({"type": "function", "function": {"name": "time"}})]
}

fn parse<'a>(style: ToolStyle, pieces: impl IntoIterator<Item = &'a str>) -> Parsed {
    let mut parser = ToolCallParser::new(style, &tools());
    let mut parsed: Vec<Parsed> = pieces.into_iter().map(|piece| parser.push(piece)).collect();
    parsed.push(parser.finish());
    let content = parsed.iter().map(|parsed| parsed.content.as_str()).collect();
    Parsed { content, calls: parsed.into_iter().flat_map(|parsed| parsed.calls).collect() }
}

fn call(name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: None, name: name.to_owned(), arguments: arguments.to_owned() }
}

fn found(content: &str, calls: &[ToolCall]) -> Parsed {
    Parsed { content: content.to_owned(), calls: calls.to_vec() }
}

#[test]
fn calls_in_the_tags_of_hermes() {
    let text = "Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \
                \"</tool_call> \\\"}\"}}\n</tool_call>\n<tool_call>{\"name\": \
                \"time\"}</tool_call>\n";
    let calls = [call("weather", "{\"city\": \"</tool_call> \\\"}\"}"), call("time", "{}")];
    assert_eq!(parse(ToolStyle::Hermes, [text]), found("Let me see.", &calls));
    let behind = parse(
        ToolStyle::Hermes,
        ["<tool_call>{\"name\": \"time\", \"arguments\": {}}</tool_call> So be it.\n"],
    );
    assert_eq!(behind, found(" So be it.\n", &[call("time", "{}")]));
    // The last tag is often cut off by the token that ends the turn.
    assert_eq!(
        parse(ToolStyle::Hermes, ["<tool_call>{\"name\": \"time\", \"arguments\": {}}"]),
        found("", &[call("time", "{}")])
    );
}

#[test]
fn calls_as_the_whole_answer_of_llama() {
    let calls = [call("weather", "{\"city\": \"Ulm\"}")];
    assert_eq!(
        parse(ToolStyle::Llama, ["\n{\"name\": \"weather\", \"parameters\": {\"city\": \"Ulm\"}}"]),
        found("", &calls)
    );
    let text = "<|python_tag|>{\"type\": \"function\", \"name\": \"weather\", \"parameters\": \
                {\"city\": \"Ulm\"}}; {\"name\":\"time\",\"parameters\":{}}";
    assert_eq!(parse(ToolStyle::Llama, [text]), found("", &[calls[0].clone(), call("time", "{}")]));
}

#[test]
fn calls_in_the_list_of_mistral() {
    let text = "Well. [TOOL_CALLS] [{\"name\": \"time\", \"arguments\": {}, \"id\": \
                \"abcdefghi\"}, {\"name\": \"weather\", \"arguments\": {\"city\": \"東京\"}}]";
    let named = ToolCall { id: Some("abcdefghi".to_owned()), ..call("time", "{}") };
    assert_eq!(
        parse(ToolStyle::Mistral, [text]),
        found("Well.", &[named, call("weather", "{\"city\": \"東京\"}")])
    );
}

#[test]
fn what_only_looks_like_a_call_is_content_as_it_was_written() {
    let texts = [
        (ToolStyle::Llama, "{\"name\": \"Ulm\", \"parameters\": {}}"),
        (ToolStyle::Llama, " {\"answer\": 42} and more"),
        (ToolStyle::Llama, "Use {\"name\": \"time\", \"parameters\": {}}"),
        (ToolStyle::Llama, "{\"name\": \"time\", \"parameters\": {"),
        (ToolStyle::Hermes, "a <tool_call> b </tool_call> <tool_ca"),
        (ToolStyle::Hermes, "<tool_call>{\"name\": \"time\", \"arguments\": 3}</tool_call>"),
        (ToolStyle::Hermes, "{\"name\": \"time\", \"arguments\": {}}  \n"),
        (ToolStyle::Mistral, "[TOOL_CALLS][]"),
        (ToolStyle::Mistral, "[TOOL_CALLS][{\"name\": \"time\", \"arguments\": {}}, 3]."),
        (ToolStyle::Mistral, "[1, 2] [TOOL_C"),
    ];
    for (style, text) in texts {
        assert_eq!(parse(style, [text]), found(text, &[]), "{style:?}");
    }
}

#[test]
fn a_call_without_end_is_released_and_does_not_pile_up() {
    let mut parser = ToolCallParser::new(ToolStyle::Hermes, &tools());
    let mut released = parser.push("<tool_call>{\"name\": \"").content.len();
    for _ in 0..1000 {
        released += parser.push(&"é".repeat(500)).content.len();
    }
    assert!(released > 700_000, "{released}");
    let rest = parser.finish().content.len();
    assert_eq!(released + rest, "<tool_call>{\"name\": \"".len() + 1_000_000);
}

#[test]
fn styles_as_templates_show_them() {
    assert_eq!(
        ToolStyle::of("{{ '<tool_call>' }}{{ call.arguments | tojson }}"),
        Some(ToolStyle::Hermes)
    );
    assert_eq!(ToolStyle::of("{{ '[TOOL_CALLS] [' }}"), Some(ToolStyle::Mistral));
    assert_eq!(
        ToolStyle::of("<|start_header_id|>ipython<|end_header_id|> '\"parameters\": '"),
        Some(ToolStyle::Llama)
    );
    for other in
        ["{{ messages }}", "<tool_call><function=f><parameter=arguments>", "[TOOL_CALLS]f[ARGS]{}"]
    {
        assert_eq!(ToolStyle::of(other), None, "{other}");
    }
}

#[test]
fn a_grammar_for_any_tool_and_for_one() {
    let special = |marker: &str| (marker == "[TOOL_CALLS]").then_some(5);
    let any = ToolStyle::Mistral.grammar(&tools(), ToolChoice::Required, true, special).unwrap();
    assert!(
        any.starts_with(
            "start: <[5]> \" \"? \"[\" object (\", \" object)* \"]\"\nobject: object_0 | \
             object_1\n"
        ),
        "{any}"
    );
    let named =
        ToolStyle::Hermes.grammar(&tools(), ToolChoice::Named("time"), true, special).unwrap();
    let expected = [
        r#"start: call"#,
        r#"call: "<tool_call>" "\n" object "\n" "</tool_call>""#,
        r#"object: object_0"#,
        r#"object_0: "{\"name\": \"time\", \"arguments\": " arguments_0 "}""#,
        concat!(
            r#"arguments_0: %json {"type":"object","properties":{},"additionalProperties":false,"#,
            r#""x-guidance":{"whitespace_flexible":false,"item_separator":", ","#,
            r#""key_separator":": "}}"#
        ),
    ];
    assert_eq!(named.lines().collect::<Vec<_>>(), expected);
    let llama = ToolStyle::Llama.grammar(&tools(), ToolChoice::Required, true, special).unwrap();
    assert!(
        llama.starts_with("start: object\n") && llama.contains(r#"\"parameters\": "#),
        "{llama}"
    );
}

#[test]
fn tools_that_are_none_are_refused() {
    let grammar = |tools: &[Value], choice| {
        ToolStyle::Llama.grammar(tools, choice, false, |_| None).unwrap_err()
    };
    assert_eq!(grammar(&[], ToolChoice::Required), ToolError::NoTools);
    assert_eq!(
        grammar(&tools(), ToolChoice::Named("maps")),
        ToolError::UnknownTool("maps".to_owned())
    );
    for broken in [
        json!(3),
        json!({"function": {"name": 3}}),
        json!({"function": {"name": "f", "parameters": []}}),
    ] {
        assert!(matches!(grammar(&[broken], ToolChoice::Required), ToolError::Malformed(0, _)));
    }
}

/// Texts that have what the parser looks for, in any order.
fn texts() -> impl Strategy<Value = String> {
    let parts = [
        "<tool_call>",
        "</tool_call>",
        "[TOOL_CALLS]",
        "<|python_tag|>",
        "<tool",
        "[TOOL_",
        " ",
        "\n",
        ";",
        ",",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        "é東",
        "{\"name\": \"time\", \"arguments\": {}}",
        "{\"name\": \"weather\", \"parameters\": {\"city\": \"a]}\\\"\"}}",
        "[{\"name\": \"time\"}]",
        "word",
    ];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 0..24)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_cut_gives_the_same(
        text in texts(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let places = cuts.iter().map(|cut| cut.index(text.len() + 1));
        let mut cuts: Vec<usize> = places.filter(|&at| text.is_char_boundary(at)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        for style in STYLES {
            let whole = parse(style, [text.as_str()]);
            let pieces = parse(style, cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]));
            prop_assert_eq!(&pieces, &whole);
            let letters: Vec<String> = text.chars().map(String::from).collect();
            prop_assert_eq!(&parse(style, letters.iter().map(String::as_str)), &whole);
        }
    }

    #[test]
    fn no_text_is_lost_where_there_is_no_call(text in ".{0,80}") {
        for style in STYLES {
            let parsed = parse(style, [text.as_str()]);
            prop_assert_eq!(parsed.content, text.clone());
        }
    }
}
