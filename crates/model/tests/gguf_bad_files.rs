//! Broken, hostile and unsupported GGUF files end in one line that names what is wrong.

use std::{fs, sync::Arc};

use crate::support::TempDir;
use crate::support::gguf::{GgufFile, TINY_VOCAB, tiny};
use tricorn_model::{InputPart, KvPool, ModelError, ModelSource, OutputPart};

/// Opens a file of these bytes, and whatever opening leaves for later.
fn open(bytes: &[u8]) -> Result<(), ModelError> {
    let dir = TempDir::new();
    let path = dir.file("model.gguf");
    fs::write(&path, bytes).unwrap();
    let source = ModelSource::open(&path)?;
    source.tokenizer()?;
    source.template()?;
    source.fingerprint()?;
    OutputPart::load(&source, "1:1".parse().unwrap())?;
    Ok(())
}

/// The message of the error of a tiny file with one change.
fn message(change: impl FnOnce(&mut GgufFile)) -> String {
    let mut file = tiny();
    change(&mut file);
    let message = open(&file.bytes().1).expect_err("it should be refused").to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

/// The message of the error of a tiny file with one byte string put in another's place.
fn patched(find: &[u8], put: &[u8]) -> String {
    let mut bytes = tiny().bytes().1;
    let at = bytes.windows(find.len()).position(|window| window == find).unwrap();
    bytes[at..at + put.len()].copy_from_slice(put);
    open(&bytes).expect_err("it should be refused").to_string()
}

#[test]
fn the_tiny_file_is_good() {
    open(&tiny().bytes().1).unwrap();
    let mut older = tiny();
    older.version = 2;
    open(&older.bytes().1).unwrap();
}

#[test]
fn truncated_at_every_byte() {
    let dir = TempDir::new();
    let path = dir.file("model.gguf");
    let (_, whole) = tiny().bytes();
    fs::write(&path, &whole).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    // The last tensor's padding may be missing, its numbers may not.
    let needed = whole.iter().rposition(|byte| *byte != 0).unwrap();
    for length in (0..=needed).rev() {
        file.set_len(length as u64).unwrap();
        let error = ModelSource::open(&path).unwrap_err();
        assert!(
            matches!(
                error,
                ModelError::Truncated { found, expected, .. }
                    if found == length as u64 && expected > found
            ),
            "{length}: {error}"
        );
    }
}

#[test]
fn lengths_that_no_file_has() {
    let huge = u64::MAX.to_le_bytes();
    let key = b"general.architecture";
    let text = [&5_u64.to_le_bytes()[..], b"llama"].concat();
    assert!(patched(&text, &huge).contains("header is longer than"));
    assert!(
        patched(
            &[&(key.len() as u64).to_le_bytes()[..], key].concat(),
            &(1_u64 << 40).to_le_bytes()
        )
        .contains("truncated")
    );
    assert!(
        patched(
            &[&8_u32.to_le_bytes()[..], &(TINY_VOCAB as u64).to_le_bytes()].concat(),
            &[8, 0, 0, 0, 255, 255, 255, 255]
        )
        .contains("trunc")
    );

    let mut bytes = tiny().bytes().1;
    bytes[8..16].copy_from_slice(&huge);
    assert!(matches!(
        open(&bytes),
        Err(ModelError::Truncated { .. }
            | ModelError::Gguf { .. }
            | ModelError::UnsupportedDtype { .. })
    ));
    let mut bytes = tiny().bytes().1;
    bytes[16..24].copy_from_slice(&huge);
    assert!(open(&bytes).is_err());

    for shape in [vec![u64::MAX, 32], vec![1 << 62, 1 << 62], vec![0, 32], vec![], vec![1; 5]] {
        let message =
            message(|file| file.tensor_mut("output_norm.weight").shape.clone_from(&shape));
        assert!(message.contains("output_norm.weight"), "{shape:?}: {message}");
    }
    assert!(
        message(|file| file.tensor_mut("output_norm.weight").shape = vec![1 << 40, 32])
            .contains("truncated")
    );
}

#[test]
fn wrong_shapes_and_missing_tensors() {
    assert!(
        message(|file| file.tensor_mut("output_norm.weight").shape = vec![16])
            .contains("model.norm.weight has shape [16]")
    );
    assert!(
        message(|file| file.remove("output_norm.weight")).contains("model.norm.weight is missing")
    );
    assert!(
        message(|file| file.remove("token_embd.weight")).contains("token_embd.weight is missing")
    );
    assert!(
        message(|file| file.tensor_mut("blk.0.attn_q.weight").shape = vec![31, 32])
            .contains("31 rows, which is not a number of heads")
    );
}

#[test]
fn header_that_is_none() {
    assert!(matches!(open(b"<!DOCTYPE html><html><head>"), Err(ModelError::Gguf { .. })));
    assert!(message(|file| file.version = 1).contains("version is 1; 2 and 3 are supported"));
    assert!(message(|file| file.version = 3_u32.swap_bytes()).contains("big-endian"));
    assert!(
        message(|file| file.text("general.architecture", "llama"))
            .contains("general.architecture is there twice")
    );
    assert!(message(|file| file.value("x", 77, &[])).contains("unknown type 77"));
    assert!(
        message(|file| file.value("x", 9, &[&9_u32.to_le_bytes()[..], &[0; 16]].concat()))
            .contains("arrays of arrays")
    );
    assert!(
        message(|file| file.count("general.alignment", 24)).contains("general.alignment is 24")
    );
    assert!(message(|file| file.count("general.alignment", 1 << 31)).contains("truncated"));
    assert!(patched(b"llama.block_count", b"llama.\xff\xfe").contains("not UTF-8"));
}

#[test]
fn tensors_that_share_bytes_or_names() {
    assert!(
        message(|file| file.tensor_mut("output_norm.weight").name = "token_embd.weight".to_owned())
            .contains("twice")
    );
    // The second tensor's offset, made that of the first.
    let mut bytes = tiny().bytes().1;
    let name = b"blk.0.attn_norm.weight";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap()
        + name.len()
        + 4
        + 8
        + 4;
    bytes[at..at + 8].fill(0);
    assert!(open(&bytes).unwrap_err().to_string().contains("overlap"));
    bytes[at] = 1;
    assert!(open(&bytes).unwrap_err().to_string().contains("not aligned to 32 bytes"));
}

#[test]
fn formats_that_are_not_supported_are_named() {
    for (kind, name) in
        [(3, "Q4_1"), (10, "Q2_K"), (23, "IQ4_XS"), (26, "I32"), (4000, "unknown type 4000")]
    {
        let message = message(|file| file.tensor_mut("blk.1.ffn_up.weight").kind = kind);
        assert!(
            message.contains("blk.1.ffn_up.weight is stored as")
                && message.contains(name)
                && message.contains("use a model"),
            "{message}"
        );
    }
    assert!(
        message(|file| file.tensor_mut("blk.1.ffn_up.weight").kind = 12)
            .contains("of Q4_K cannot have the shape")
    );
}

#[test]
fn models_that_are_not_supported_are_named() {
    let message_of = |change: fn(&mut GgufFile), expected: &str| {
        let message = message(change);
        assert!(
            message.contains(expected) && message.contains("is not supported; use "),
            "{message}"
        );
    };
    message_of(|file| file.replace_text("general.architecture", "gemma3"), "gemma3");
    message_of(|file| file.count("llama.expert_count", 8), "mixture of 8 experts");
    message_of(|file| file.count("llama.attention.value_length", 32), "values 32");
    message_of(|file| file.count("llama.rope.dimension_count", 8), "8 of 16 dimensions");
    message_of(|file| file.text("llama.rope.scaling.type", "yarn"), "yarn");
    message_of(|file| file.number("llama.attention.scale", 0.5), "llama.attention.scale");
    message_of(
        |file| file.tensor_mut("blk.0.ffn_up.weight").name = "blk.0.attn_sinks.weight".to_owned(),
        "attn_sinks",
    );
    message_of(
        |file| file.tensor_mut("blk.0.ffn_up.weight").name = "blk.00.ffn_up.weight".to_owned(),
        "blk.00.ffn_up",
    );
    message_of(|file| file.replace_text("tokenizer.ggml.model", "t5"), "`t5`");
    message_of(|file| file.replace_text("tokenizer.ggml.pre", "kimi-k2"), "`kimi-k2`");
}

#[test]
fn values_that_make_no_sense() {
    let message_of = |change: fn(&mut GgufFile), expected: &str| {
        let message = message(change);
        assert!(message.contains(expected), "{message}");
    };
    message_of(|file| file.forget("llama.block_count"), "llama.block_count is missing");
    message_of(
        |file| file.replace_text("llama.block_count", "two"),
        "llama.block_count must be a whole number",
    );
    message_of(
        |file| file.replace_count("llama.block_count", 0),
        "GGUF metadata: num_hidden_layers is 0",
    );
    message_of(
        |file| file.replace_count("llama.attention.head_count", 0),
        "GGUF metadata: num_attention_heads is 0",
    );
    message_of(
        |file| {
            file.forget("llama.feed_forward_length");
            file.integers("llama.feed_forward_length", &(0..5000).collect::<Vec<_>>());
        },
        "llama.feed_forward_length must be a whole number, or a list of them",
    );
    message_of(
        |file| file.replace_count("llama.attention.head_count_kv", 3),
        "num_key_value_heads is 3",
    );
    message_of(
        |file| file.replace_count("llama.context_length", u32::MAX.into()),
        "max_position_embeddings is",
    );
    message_of(|file| file.number("llama.rope.freq_base", -1.0), "rope_theta is -1");
    message_of(
        |file| file.number("llama.rope.freq_base", f64::NAN),
        "llama.rope.freq_base must be a number",
    );
    message_of(
        |file| file.replace_count("tokenizer.ggml.eos_token_id", 99),
        "tokenizer.ggml.eos_token_id is 99",
    );
    message_of(
        |file| file.replace_texts("tokenizer.ggml.tokens", &["a", "b", "a"]),
        "token 2 has the text of token 0",
    );
    message_of(
        |file| file.replace_texts("tokenizer.ggml.tokens", &[&"a".repeat(5000), "b"]),
        "token 0 is 5000 bytes long",
    );
    message_of(
        |file| file.replace_texts("tokenizer.ggml.merges", &["ab"]),
        "tokenizer.ggml.merges has an entry",
    );
    message_of(|file| file.replace_texts("tokenizer.ggml.merges", &["x y"]), "tokenizer: ");
    message_of(|file| file.forget("tokenizer.ggml.merges"), "tokenizer.ggml.merges is missing");
    message_of(
        |file| file.integers("tokenizer.ggml.token_type", &[1]),
        "tokenizer.ggml.token_type has 1 of 9",
    );
    message_of(|file| file.text("tokenizer.chat_template", "{% for %}"), "chat template");
}

#[test]
fn a_file_that_shrinks_while_it_is_used() {
    let dir = TempDir::new();
    let path = dir.file("model.gguf");
    tiny().write(&path);
    let source = Arc::new(ModelSource::open(&path).unwrap());
    let input = InputPart::load(&source, "1:1".parse().unwrap()).unwrap();
    let mut kv = input.new_kv(&KvPool::new(1 << 20), 8);
    input.forward_at(&mut kv, 0, &[1]).unwrap();

    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(100).unwrap();
    let shrunk = |error: ModelError| matches!(&error, ModelError::Truncated { found: 100, .. });
    assert!(shrunk(input.forward_at(&mut kv, 1, &[1]).unwrap_err()));
    assert!(shrunk(OutputPart::load(&source, "1:1".parse().unwrap()).unwrap_err()));
    assert!(shrunk(source.fingerprint().unwrap_err()));
    assert!(shrunk(source.tokenizer().unwrap_err()));
}
