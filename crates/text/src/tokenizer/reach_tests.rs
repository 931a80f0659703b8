//! A text has no fewer tokens than its length says.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::TextTokenizer;

fn byte_level() -> TextTokenizer {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/llama/tokenizer.json");
    TextTokenizer::from_bytes(&std::fs::read(path).unwrap()).unwrap()
}

/// Byte pairs with a token for each byte where `bytes`, and for words with several spaces in them.
fn sentencepiece(bytes: bool, normalizer: &Value, added: &Value) -> TextTokenizer {
    let fallback = (0..=255u8).filter(|_| bytes).map(|byte| format!("<0x{byte:02X}>"));
    let words = ["<unk>", "▁", "a", "▁a", "▁▁", "▁▁▁▁"].map(str::to_owned);
    let vocab: serde_json::Map<String, Value> = words
        .into_iter()
        .chain(fallback)
        .enumerate()
        .map(|(id, token)| (token, id.into()))
        .collect();
    let merges = ["▁ a", "▁ ▁", "▁▁ ▁▁"];
    let model = json!({
        "type": "BPE",
        "vocab": vocab,
        "merges": merges,
        "unk_token": "<unk>",
        "fuse_unk": true,
        "byte_fallback": true,
    });
    let json = json!({
        "version": "1.0", "added_tokens": added, "normalizer": normalizer, "model": model
    });
    TextTokenizer::from_bytes(json.to_string().as_bytes()).unwrap()
}

fn spaces() -> Value {
    json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" })
}

fn sequence(second: Value) -> Value {
    json!({ "type": "Sequence", "normalizers": [spaces(), second] })
}

#[test]
fn what_may_drop_text_of_any_length_has_no_bound() {
    let none = json!([]);
    assert!(sentencepiece(true, &spaces(), &none).longest_token().is_some());
    assert!(
        sentencepiece(true, &sequence(json!({ "type": "NFKC" })), &none).longest_token().is_some()
    );
    // Unknown characters in a row are one token.
    assert_eq!(sentencepiece(false, &spaces(), &none).longest_token(), None);
    let dropping = [
        json!({ "type": "Strip", "strip_left": true, "strip_right": true }),
        json!({ "type": "StripAccents" }),
        json!({ "type": "Replace", "pattern": { "Regex": " +" }, "content": "▁" }),
        json!({ "type": "Replace", "pattern": { "String": "a" }, "content": "" }),
    ];
    for normalizer in dropping {
        assert_eq!(
            sentencepiece(true, &sequence(normalizer.clone()), &none).longest_token(),
            None,
            "{normalizer}"
        );
    }
    let greedy = json!([{
        "id": 0,
        "content": "<unk>",
        "single_word": false,
        "lstrip": false,
        "rstrip": true,
        "normalized": false,
        "special": true,
    }]);
    assert_eq!(sentencepiece(true, &spaces(), &greedy).longest_token(), None);
}

proptest! {
    #[test]
    fn no_token_stands_for_more(text in "[ a▁é🦀\u{301}ᾂ<|im_start>]{0,60}|.{0,60}") {
        let none = json!([]);
        let tokenizers = [
            byte_level(),
            sentencepiece(true, &spaces(), &none),
            sentencepiece(true, &sequence(json!({ "type": "NFC" })), &none),
            sentencepiece(true, &sequence(json!({ "type": "NFKC" })), &none),
            sentencepiece(true, &sequence(json!({ "type": "Lowercase" })), &none),
        ];
        for tokenizer in tokenizers {
            let longest = tokenizer.longest_token().unwrap();
            prop_assert!(tokenizer.encode(&text, false).unwrap().len() * longest >= text.len());
        }
    }
}
