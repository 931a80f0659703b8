//! Texts that follow what a grammar allows belong to it, whatever is chosen, and what is allowed
//! depends on the text alone.

use serde_json::{Value, json};
use std::{path::Path, sync::Arc};
use tricorn_core::Constraint;
use tricorn_device::{
    Prompter,
    constraint::{ConstraintError, Grammar, Grammars},
};
use tricorn_model::ModelSource;
use tricorn_text::tool_calls::{ToolCallParser, ToolChoice, ToolStyle};

const STOP: u32 = 1;

fn prompter() -> Prompter {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo");
    Prompter::load(&Arc::new(ModelSource::open(&demo).unwrap())).unwrap()
}

fn grammars() -> Grammars {
    Grammars::new(&prompter(), &[STOP]).unwrap()
}

/// A number that depends on all of the arguments.
fn mix(seed: u64, a: u64) -> u64 {
    let x = (seed ^ a.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ (x >> 29)
}

/// Tokens that the constraint allows after `path`.
fn allowed(constraint: &mut dyn Constraint, path: &[u32], vocab: u32) -> Vec<u32> {
    let mask = constraint.allowed(path).unwrap();
    (0..vocab).filter(|&token| mask.contains(token)).collect()
}

/// One of the texts of a grammar; `None` when it has not come to its end within 400 tokens.
fn walk(prompter: &Prompter, grammar: &Grammar, seed: u64) -> Option<Vec<u32>> {
    let vocab = prompter.tokenizer().vocab_size() as u32;
    let mut constraint = grammar.constraint();
    let mut path = Vec::new();
    while path.len() < 400 {
        let tokens = allowed(&mut *constraint, &path, vocab);
        assert!(!tokens.is_empty(), "nothing may follow {path:?}");
        let token = tokens[(mix(seed, path.len() as u64) % tokens.len() as u64) as usize];
        if token == STOP {
            return Some(path);
        }
        path.push(token);
        if constraint.is_complete(&path).unwrap() {
            return Some(path);
        }
    }
    None
}

fn texts(prompter: &Prompter, grammar: &Grammar) -> Vec<String> {
    let texts: Vec<String> = (0..40)
        .filter_map(|seed| walk(prompter, grammar, seed))
        .map(|path| prompter.tokenizer().decode(&path).unwrap())
        .collect();
    assert!(texts.len() > 10, "only {} came to an end", texts.len());
    texts
}

#[test]
fn texts_of_a_schema_satisfy_it() {
    let prompter = prompter();
    let schema = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "maxLength": 8 },
            "age": { "type": "integer", "minimum": 0, "maximum": 120 },
            "kind": { "enum": ["cat", "dog"] },
            "tags": { "type": "array", "items": { "$ref": "#/$defs/tag" }, "maxItems": 2 }
        },
        "required": ["name", "age", "kind"],
        "additionalProperties": false,
        "$defs": { "tag": { "type": "string", "pattern": "^[a-z]{1,4}$" } }
    });
    let grammar = grammars().json_schema(&schema).unwrap();
    for text in texts(&prompter, &grammar) {
        let value: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(value["name"].as_str().unwrap().chars().count() <= 8, "{text}");
        assert!(value["age"].as_u64().unwrap() <= 120, "{text}");
        assert!(["cat", "dog"].contains(&value["kind"].as_str().unwrap()), "{text}");
        assert!(
            value
                .as_object()
                .unwrap()
                .keys()
                .all(|key| ["name", "age", "kind", "tags"].contains(&key.as_str())),
            "{text}"
        );
        for tag in value["tags"].as_array().map_or(&[][..], Vec::as_slice) {
            let tag = tag.as_str().unwrap();
            assert!(
                (1..=4).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_lowercase()),
                "{text}"
            );
        }
    }
}

#[test]
fn regular_expressions_and_lark_are_followed() {
    let (prompter, grammars) = (prompter(), grammars());
    for text in texts(&prompter, &grammars.regex("(yes|no)( please)?").unwrap()) {
        assert!(["yes", "no", "yes please", "no please"].contains(&text.trim_start()), "{text:?}");
    }
    let lark =
        grammars.lark("start: \"<call>\" %json { \"type\": \"boolean\" } \"</call>\"").unwrap();
    for text in texts(&prompter, &lark) {
        assert!(
            ["<call>true</call>", "<call>false</call>"].contains(&text.trim_start()),
            "{text:?}"
        );
    }
}

/// What the grammar of tool calls allows is what the parser reads: calls of the tools alone, with
/// arguments as their schemas say.
#[test]
fn texts_of_tool_grammars_are_read_as_calls() {
    let (prompter, grammars) = (prompter(), grammars());
    let tools = [
        json!({ "type": "function", "function": { "name": "count", "parameters": {
            "type": "object",
            "properties": { "of": { "$ref": "#/$defs/thing" } },
            "required": ["of"],
            "additionalProperties": false,
            "$defs": { "thing": { "enum": ["hats", "\"clouds\""] } }
        } } }),
        json!({ "type": "function", "function": { "name": "stop" } }),
    ];
    for style in [ToolStyle::Llama, ToolStyle::Hermes, ToolStyle::Mistral] {
        for (choice, several) in [
            (ToolChoice::Required, true),
            (ToolChoice::Required, false),
            (ToolChoice::Named("count"), true),
        ] {
            let lark = style.grammar(&tools, choice, several, |_| None).unwrap();
            let texts = texts(&prompter, &grammars.lark(&lark).unwrap());
            let calls = texts.iter().map(|text| {
                let mut parser = ToolCallParser::new(style, &tools);
                let (pushed, rest) = (parser.push(text.trim_start()), parser.finish());
                assert_eq!(pushed.content + &rest.content, "", "{style:?}: {text}");
                let calls = [pushed.calls, rest.calls].concat();
                for call in &calls {
                    let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
                    match call.name.as_str() {
                        "count" => assert!(
                            ["hats", "\"clouds\""].contains(&arguments["of"].as_str().unwrap()),
                            "{text}"
                        ),
                        "stop" => assert_eq!(
                            (arguments, choice),
                            (json!({}), ToolChoice::Required),
                            "{text}"
                        ),
                        other => panic!("{other} is none of the tools: {text}"),
                    }
                }
                calls.len()
            });
            let counts: Vec<usize> = calls.collect();
            let more = several && choice == ToolChoice::Required && style != ToolStyle::Llama;
            assert!(
                counts.iter().all(|&count| count == 1 || more && count > 1),
                "{style:?} {choice:?} {counts:?}"
            );
            assert_eq!(
                counts.iter().any(|&count| count > 1),
                more,
                "{style:?} {choice:?} {counts:?}"
            );
        }
    }
}

/// Each of these is small, and would take the compiler minutes, gigabytes or all of a thread's
/// stack.
#[test]
fn schemas_that_are_too_much_are_refused_and_deep_ones_compile() {
    let grammars = grammars();
    let letter = |place: u8| (b'a' + place) as char;
    let pattern = |i| format!(".*{}.{{{i}}}{}", letter(i), letter(i + 1));
    let meeting: Vec<Value> = (0..19).map(|i| json!({ "pattern": pattern(i) })).collect();
    let error = grammars
        .json_schema(&json!({ "type": "string", "allOf": meeting }))
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, ConstraintError::TooLarge { .. }), "{error}");
    // As many as are taken, of the same kind: whether they compile or not, that is found out soon.
    let _ = grammars.json_schema(&json!({ "type": "string", "allOf": meeting[..6] }));
    for wrap in
        [|next: Value| next, |next: Value| json!({ "type": "object", "properties": { "x": next } })]
    {
        let links = 3000;
        let mut definitions: serde_json::Map<String, Value> = (0..links)
            .map(|i| (format!("d{i}"), wrap(json!({ "$ref": format!("#/$defs/d{}", i + 1) }))))
            .collect();
        definitions.insert(format!("d{links}"), json!({ "type": "string" }));
        // Whatever it comes to, it comes to an end.
        let _ = grammars.json_schema(&json!({ "$ref": "#/$defs/d0", "$defs": definitions }));
    }
}

#[test]
fn json_is_on_one_line() {
    let prompter = prompter();
    let two = json!({
        "type": "array", "items": { "type": "boolean" }, "minItems": 2, "maxItems": 2
    });
    let schema = json!({
        "type": "object",
        "properties": { "a": { "enum": ["red"] }, "b": two },
        "required": ["a", "b"],
        "additionalProperties": false,
    });
    for text in texts(&prompter, &grammars().json_schema(&schema).unwrap()) {
        let value: Value = serde_json::from_str(&text).unwrap();
        let written = format!(r#"{{"a": "red", "b": [{}, {}]}}"#, value["b"][0], value["b"][1]);
        assert_eq!(text.trim_start(), written);
    }
}

#[test]
fn any_object_is_an_object() {
    let (prompter, grammars) = (prompter(), grammars());
    let grammar = grammars.json_object().unwrap();
    let vocab = prompter.tokenizer().vocab_size() as u32;
    let mut constraint = grammar.constraint();
    let first = allowed(&mut *constraint, &[], vocab);
    assert!(
        !first.is_empty()
            && first.iter().all(|&token| prompter
                .token_text(token)
                .0
                .trim_start()
                .starts_with('{')),
        "{first:?}"
    );
}

#[test]
fn what_is_allowed_depends_on_the_path_alone() {
    let prompter = prompter();
    let vocab = prompter.tokenizer().vocab_size() as u32;
    let schema = json!({
        "type": "object",
        "properties": {
            "a": { "type": "string", "maxLength": 6 },
            "b": { "type": "integer", "maximum": 9999 },
        },
        "required": ["a", "b"],
    });
    let grammar = grammars().json_schema(&schema).unwrap();
    let paths: Vec<Vec<u32>> = (0..40).filter_map(|seed| walk(&prompter, &grammar, seed)).collect();
    assert!(paths.len() > 3);
    let mut wandering = grammar.constraint();
    for step in 0..120 {
        let path = &paths[(mix(1, step) % paths.len() as u64) as usize];
        let path = &path[..(mix(2, step) % path.len() as u64) as usize];
        let mut fresh = grammar.constraint();
        assert_eq!(
            allowed(&mut *wandering, path, vocab),
            allowed(&mut *fresh, path, vocab),
            "{path:?}"
        );
        assert_eq!(wandering.is_complete(path), fresh.is_complete(path), "{path:?}");
        // A copy goes its own way.
        let mut copy = wandering.boxed_clone();
        assert_eq!(
            allowed(&mut *copy, &[], vocab),
            allowed(&mut *grammar.constraint(), &[], vocab)
        );
    }
}

#[test]
fn the_end_is_allowed_where_the_text_may_end_and_nowhere_else() {
    let prompter = prompter();
    let grammar = grammars().regex("[0-9]{1,3}").unwrap();
    let mut constraint = grammar.constraint();
    let digit = *prompter.tokenizer().encode("7", false).unwrap().last().unwrap();
    assert!(!constraint.allowed(&[]).unwrap().contains(STOP));
    assert!(
        constraint.allowed(&[digit]).unwrap().contains(STOP)
            && !constraint.is_complete(&[digit]).unwrap()
    );
    assert!(constraint.is_complete(&[digit, digit, digit]).unwrap());
    let mask = constraint.allowed(&[digit, digit, digit]).unwrap();
    assert!((0..3000).filter(|&token| mask.contains(token)).eq([STOP]), "nothing but the end");
    assert!(constraint.is_complete(&[digit, STOP]).unwrap());
    for wrong in [&[STOP][..], &[digit, digit, digit, digit]] {
        assert!(constraint.allowed(wrong).is_err());
        assert!(
            constraint.allowed(&[digit]).unwrap().contains(STOP),
            "one path's error is no other's"
        );
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_its_reason() {
    let grammars = grammars();
    let schema = |schema: Value| grammars.json_schema(&schema).map(|_| schema).unwrap_err();
    for bad in [
        json!("text"),
        json!(3),
        json!(null),
        json!({ "type": "elephant" }),
        json!({ "$ref": "#/nowhere" }),
    ] {
        let error = schema(bad.clone());
        assert!(matches!(error, ConstraintError::Schema { .. }), "{bad}: {error:?}");
    }
    for unsatisfiable in [
        json!(false),
        json!({ "type": "string", "minLength": 5, "maxLength": 2 }),
        json!({ "allOf": [{ "type": "string" }, { "type": "number" }] }),
    ] {
        let error = schema(unsatisfiable.clone());
        assert!(
            matches!(error, ConstraintError::Unsatisfiable { .. }),
            "{unsatisfiable}: {error:?}"
        );
    }
    let huge =
        json!({ "enum": (0..60_000_u64).map(|i| format!("{:x}", mix(i, 7))).collect::<Vec<_>>() });
    assert!(matches!(grammars.json_schema(&huge), Err(ConstraintError::TooLarge { .. })));
    assert!(matches!(grammars.regex("(open"), Err(ConstraintError::Grammar { .. })));
    assert!(matches!(grammars.lark("start: nowhere"), Err(ConstraintError::Grammar { .. })));
    for error in [schema(json!({ "type": "elephant" })), grammars.regex("(open").unwrap_err()] {
        assert!(
            !error.to_string().contains('\n') && error.to_string().contains("correct"),
            "{error}"
        );
    }
}
