//! A GGUF file gives the same model as the directory it was made from.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/gguf.rs"]
mod gguf;
#[path = "support/temp.rs"]
mod temp;

use std::{path::PathBuf, sync::Arc};

use gguf::{GgufFile, bf16_bytes, f16_bytes, f32_bytes, q8_0_bytes};
use temp::TempDir;
use tricorn_model::{
    InputPart, KvPool, MiddlePart, ModelSource, OutputPart, SeqRows,
    pack::{pack, pack_whole},
    quant::Dtype,
};

const PROMPT: &str = "Once upon a time there was a hat 🦀 in a café,";

fn repository(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

/// Greedy continuation and the logits of its last step.
fn generate(source: ModelSource, prompt: &[u32], count: usize) -> (Vec<u32>, Vec<f32>) {
    let (source, split, pool) = (Arc::new(source), "1:1".parse().unwrap(), KvPool::new(1 << 30));
    let input = InputPart::load(&source, split).unwrap();
    let middle = MiddlePart::load(&source, split).unwrap();
    let output = OutputPart::load(&source, split).unwrap();
    let mut caches = [input.new_kv(&pool, 128), middle.new_kv(&pool, 128), output.new_kv(&pool, 128)];
    let (mut pos, mut next, mut all) = (0, prompt.to_vec(), Vec::new());
    loop {
        let [first, second, third] = &mut caches;
        let mut rows = input.forward_at(first, pos, &next).unwrap();
        middle.forward(&mut [SeqRows { kv: second, pos, rows: next.len() }], &mut rows).unwrap();
        output.forward_at(third, pos, &mut rows).unwrap();
        let logits = output.logits(&rows[rows.len() - source.config().hidden..]).unwrap();
        if all.len() == count {
            return (all, logits);
        }
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
        pos += next.len();
        next = vec![best as u32];
        all.push(best as u32);
    }
}

/// A GGUF file made of a directory says what the directory says: architecture, tokens, texts; to the bit where no number changes.
fn check_same(directory: &str, dtype: Dtype, encode: fn(&[f32]) -> Vec<u8>) {
    let (directory, temp) = (repository(directory), TempDir::new());
    let path = temp.file("model.gguf");
    GgufFile::from_directory(&directory, dtype, encode).write(&path);
    let (from_directory, from_gguf) = (ModelSource::open(&directory).unwrap(), ModelSource::open(&path).unwrap());

    let mut config = from_gguf.config().clone();
    // transformers knows which end is the conversation's, a GGUF file only that both are ends.
    config.eos.clone_from(&from_directory.config().eos);
    assert_eq!(&config, from_directory.config());
    let tokenizer = from_directory.tokenizer().unwrap();
    let prompt = tokenizer.encode(PROMPT, false).unwrap();
    assert_eq!(from_gguf.tokenizer().unwrap().encode(PROMPT, false).unwrap(), prompt);
    assert_eq!(from_gguf.weights().names().collect::<Vec<_>>(), from_directory.weights().names().collect::<Vec<_>>());

    let (expected, expected_logits) = generate(from_directory, &prompt, 24);
    let (tokens, logits) = generate(from_gguf, &prompt, 24);
    assert_eq!(tokens, expected);
    if !matches!(dtype, Dtype::Q8_0) {
        assert!(logits.iter().zip(&expected_logits).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
}

#[test]
fn demo_in_every_unquantised_format() {
    check_same("models/demo", Dtype::F32, f32_bytes);
    check_same("models/demo", Dtype::Bf16, bf16_bytes);
}

#[test]
fn every_family() {
    check_same("tests/fixtures/llama", Dtype::F32, f32_bytes);
    check_same("tests/fixtures/mistral", Dtype::F16, f16_bytes);
    check_same("tests/fixtures/qwen3", Dtype::F32, f32_bytes);
}

#[test]
fn demo_in_eight_bits() {
    check_same("models/demo", Dtype::Q8_0, q8_0_bytes);
}

#[test]
fn packed_with_its_quantised_embedding() {
    let temp = TempDir::new();
    let path = temp.file("model.gguf");
    GgufFile::from_directory(&repository("models/demo"), Dtype::Q8_0, q8_0_bytes).write(&path);
    let open = |path: &Path| ModelSource::open(path).unwrap();
    let prompt = open(&path).tokenizer().unwrap().encode(PROMPT, false).unwrap();
    let expected = generate(open(&path), &prompt, 12);
    pack_whole(&open(&path), &temp.file("whole")).unwrap();
    let whole = open(&temp.file("whole"));
    assert_eq!(whole.tokenizer().unwrap().encode(PROMPT, false).unwrap(), prompt);
    assert_eq!(whole.parameters(), open(&path).parameters());
    assert!(generate(whole, &prompt, 12) == expected);
    let packed = pack(&open(&path), "2:0".parse().unwrap(), &temp.file("parts")).unwrap();
    assert_eq!(open(&packed.device).fingerprint().unwrap(), open(&path).fingerprint().unwrap());
    assert!(packed.device_bytes > packed.cloud_bytes / 8 && open(&packed.cloud).is_packed());
}
