use super::*;

/// Byte-level BPE with a token for every byte and none merged, so that every character beyond ASCII
/// takes several tokens.
fn byte_level() -> TextTokenizer {
    let alphabet = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
    let mut letters: Vec<char> = alphabet.into_iter().collect();
    letters.sort_unstable();
    let vocab: serde_json::Map<_, _> =
        letters.into_iter().enumerate().map(|(id, c)| (c.to_string(), id.into())).collect();
    let json = serde_json::json!({
        "version": "1.0",
        "added_tokens": [{
            "id": 256, "content": "<|end|>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true
        }],
        "pre_tokenizer": {
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true
        },
        "decoder": {
            "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true
        },
        "model": { "type": "BPE", "vocab": vocab, "merges": [] }
    });
    TextTokenizer::from_bytes(json.to_string().as_bytes()).unwrap()
}

/// As converted from sentencepiece for Llama 2: `▁` for spaces, `<0xAB>` for bytes of characters
/// without a token.
fn sentencepiece() -> TextTokenizer {
    let mut vocab = serde_json::Map::new();
    for byte in 0..=255u8 {
        vocab.insert(format!("<0x{byte:02X}>"), vocab.len().into());
    }
    for token in ["▁", "▁the", "▁cat", "s", "o", "n", "é"] {
        vocab.insert(token.to_owned(), vocab.len().into());
    }
    let json = serde_json::json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" } ] },
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
            { "type": "ByteFallback" },
            { "type": "Fuse" },
            { "type": "Strip", "content": " ", "start": 1, "stop": 0 } ] },
        "model": { "type": "BPE", "vocab": vocab, "merges": [], "byte_fallback": true }
    });
    TextTokenizer::from_bytes(json.to_string().as_bytes()).unwrap()
}

fn pieces(mut stream: TextStream, ids: &[u32]) -> Vec<String> {
    let mut pieces: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    pieces.push(stream.flush().unwrap());
    pieces
}

const TEXTS: [&str; 5] =
    ["plain words", "naïve café — 東京 🦀", "🦀🦀👩‍👩‍👧", "  two  spaces ", "e\u{301}\n\ttabs"];

#[test]
fn joined_pieces_are_the_text() {
    for tokenizer in [byte_level(), sentencepiece()] {
        for text in TEXTS {
            let ids = tokenizer.encode(text, false).unwrap();
            let pieces = pieces(tokenizer.stream(), &ids);
            assert_eq!(pieces.concat(), tokenizer.decode(&ids).unwrap());
            assert!(!pieces.concat().contains(REPLACEMENT), "{pieces:?}");
        }
    }
    let tokenizer = byte_level();
    assert_eq!(tokenizer.decode(&tokenizer.encode(TEXTS[1], false).unwrap()).unwrap(), TEXTS[1]);
}

#[test]
fn characters_come_whole_and_as_soon_as_they_are_complete() {
    let tokenizer = byte_level();
    let ids = tokenizer.encode("é🦀a", false).unwrap();
    assert_eq!(pieces(tokenizer.stream(), &ids), ["", "é", "", "", "", "🦀", "a", ""]);
}

#[test]
fn incomplete_character_at_the_end_is_flushed_as_a_replacement() {
    let tokenizer = byte_level();
    let ids = tokenizer.encode("a🦀", false).unwrap();
    assert_eq!(pieces(tokenizer.stream(), &ids[..3]), ["a", "", "", "\u{FFFD}"]);
}

#[test]
fn stray_bytes_do_not_hold_the_text_for_ever() {
    for tokenizer in [byte_level(), sentencepiece()] {
        let stray = tokenizer.encode("🦀", false).unwrap().last().copied().unwrap();
        let mut stream = tokenizer.stream();
        let mut shown = String::new();
        for _ in 0..100 {
            shown += &stream.push(stray).unwrap();
        }
        assert!(shown.len() > 100, "{shown}");
        let after: String = tokenizer
            .encode("sons", false)
            .unwrap()
            .into_iter()
            .map(|id| stream.push(id).unwrap())
            .collect();
        assert!((after + &stream.flush().unwrap()).contains("sons"));
    }
}

#[test]
fn special_tokens_are_not_shown_and_do_not_break_what_follows() {
    let tokenizer = byte_level();
    let mut ids = tokenizer.encode("ab", false).unwrap();
    ids.insert(1, 256);
    assert_eq!(pieces(tokenizer.stream(), &ids), ["a", "", "b", ""]);
    assert_eq!(pieces(tokenizer.stream(), &[256]), ["", ""]);
}

#[test]
fn leading_space_depends_on_the_context() {
    let tokenizer = sentencepiece();
    let ids = tokenizer.encode("the cats", false).unwrap();
    assert_eq!(pieces(tokenizer.stream(), &ids).concat(), "the cats");
    let context = tokenizer.encode("son", false).unwrap();
    assert_eq!(pieces(tokenizer.stream_after(&context).unwrap(), &ids).concat(), " the cats");
    assert_eq!(pieces(tokenizer.stream_after(&[]).unwrap(), &ids).concat(), "the cats");
}

#[test]
fn a_character_begun_in_the_context_is_completed_in_the_text() {
    let tokenizer = byte_level();
    let ids = tokenizer.encode("a🦀b", false).unwrap();
    assert_eq!(pieces(tokenizer.stream_after(&ids[..3]).unwrap(), &ids[3..]).concat(), "🦀b");
}

#[test]
fn vocabulary_is_checked() {
    let tokenizer = byte_level();
    assert_eq!(tokenizer.vocab_size(), 257);
    assert!(tokenizer.check(257).is_ok());
    assert!(tokenizer.check(300).is_ok());
    assert!(matches!(
        tokenizer.check(256),
        Err(TextError::Vocabulary { highest: 256, vocab: 256 })
    ));
}
