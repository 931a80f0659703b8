//! Bytes of tokens, and which tokens are special.

use serde_json::{Value, json};

use crate::TextTokenizer;

const TEXTS: [&str; 4] =
    ["Once upon the cloud, café", "naïve — 東京 🦀", "  two  spaces ", "e\u{301}\n\ttabs"];

/// Byte-level, from the fixtures: its special tokens are the last three.
fn byte_level() -> TextTokenizer {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/llama/tokenizer.json");
    TextTokenizer::from_bytes(&std::fs::read(path).unwrap()).unwrap()
}

fn bpe(tokens: &[&str], decoder: &Value) -> TextTokenizer {
    let bytes = (0..=255u8).map(|byte| format!("<0x{byte:02X}>"));
    let vocab: serde_json::Map<String, Value> = bytes
        .chain(tokens.iter().map(|&token| token.to_owned()))
        .enumerate()
        .map(|(id, token)| (token, id.into()))
        .collect();
    let added = |id: usize, content: &str, special: bool| {
        json!({
            "id": id,
            "content": content,
            "special": special,
            "single_word": false,
            "lstrip": false,
            "rstrip": false,
            "normalized": false,
        })
    };
    let json = json!({
        "version": "1.0",
        "added_tokens": [
            added(vocab.len(), "[TOOL_CALLS]", true),
            added(vocab.len() + 1, "<tool_call>", false),
        ],
        "normalizer": { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
        "decoder": decoder,
        "model": { "type": "BPE", "vocab": vocab, "merges": [], "byte_fallback": true }
    });
    TextTokenizer::from_bytes(json.to_string().as_bytes()).unwrap()
}

fn sentencepiece() -> TextTokenizer {
    let decoders = json!([
        { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
        { "type": "ByteFallback" },
        { "type": "Fuse" },
        { "type": "Strip", "content": " ", "start": 1, "stop": 0 }
    ]);
    bpe(&["▁", "▁the", "s", "é"], &json!({ "type": "Sequence", "decoders": decoders }))
}

#[test]
fn the_bytes_of_a_texts_tokens_are_the_text() {
    for tokenizer in [byte_level(), sentencepiece()] {
        for text in TEXTS {
            let ids = tokenizer.encode(text, false).unwrap();
            let bytes: Vec<u8> =
                ids.iter().flat_map(|&id| tokenizer.token_bytes(id).unwrap()).collect();
            assert_eq!(String::from_utf8(bytes).unwrap(), text);
        }
    }
}

#[test]
fn bytes_do_not_depend_on_where_a_token_stands() {
    let tokenizer = sentencepiece();
    let bytes =
        |name: &str| tokenizer.token_bytes(tokenizer.inner.token_to_id(name).unwrap()).unwrap();
    assert_eq!(bytes("▁the"), b" the");
    assert_eq!(bytes("<0xF0>"), [0xF0]);
    assert_eq!(bytes("é"), "é".as_bytes());
    assert_eq!(tokenizer.token_bytes(9999), None);
    let decoder = json!({
        "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true
    });
    let metaspace = bpe(&["▁a"], &decoder);
    assert_eq!(metaspace.token_bytes(256).unwrap(), b" a");
    // Without a decoder that says so, `<0xF0>` is a text.
    assert_eq!(metaspace.token_bytes(0xF0).unwrap(), b"<0xF0>");
}

#[test]
fn vocabularies_whose_tokens_depend_on_their_neighbours_have_no_bytes() {
    for decoder in [json!({ "type": "WordPiece", "prefix": "##", "cleanup": true }), Value::Null] {
        assert_eq!(bpe(&["a", "##b"], &decoder).token_bytes(256), None);
    }
}

#[test]
fn special_tokens_are_told_from_added_ones() {
    assert_eq!(byte_level().special_ids(), [277, 278, 279]);
    assert_eq!(byte_level().token_bytes(278).unwrap(), b"<|im_start|>");
    let tokenizer = sentencepiece();
    assert_eq!(
        (tokenizer.special_id("[TOOL_CALLS]"), tokenizer.special_id("<tool_call>")),
        (Some(260), None)
    );
}

#[test]
fn a_special_token_is_shown_where_that_is_asked_for() {
    let ids = [257, 260, 258, 259, 261];
    assert_eq!(sentencepiece().decode(&ids).unwrap(), "thesé<tool_call>");
    let shown = sentencepiece().showing(&["[TOOL_CALLS]", "<tool_call>", "none"]);
    assert_eq!(shown.decode(&ids).unwrap(), "the[TOOL_CALLS]sé<tool_call>");
    let mut stream = shown.stream();
    let pieces: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    assert_eq!(pieces, ["the", "[TOOL_CALLS]", "s", "é", "<tool_call>"]);
}
