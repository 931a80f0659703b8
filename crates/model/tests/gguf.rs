//! A GGUF file gives the same model as the directory it was made from.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::support::TempDir;
use crate::support::gguf::{GgufFile, bf16_bytes, f16_bytes, f32_bytes, q8_0_bytes, tiny};
use tricorn_kernels::Dtype;
use tricorn_model::{
    InputPart, KvPool, MiddlePart, ModelError, ModelSource, OutputPart, SeqRows,
    config::RopeScaling,
    pack::{pack, pack_whole},
    quant::Quant,
};
use tricorn_text::template::Message;

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
    let mut caches =
        [input.new_kv(&pool, 128), middle.new_kv(&pool, 128), output.new_kv(&pool, 128)];
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

/// A GGUF file made of a directory says what the directory says: architecture, tokens, texts; to
/// the bit where no number changes.
fn check_same(directory: &str, dtype: Dtype, encode: fn(&[f32]) -> Vec<u8>) {
    let (directory, temp) = (repository(directory), TempDir::new());
    let path = temp.file("model.gguf");
    GgufFile::from_directory(&directory, dtype, encode).write(&path);
    let (from_directory, from_gguf) =
        (ModelSource::open(&directory).unwrap(), ModelSource::open(&path).unwrap());

    let mut config = from_gguf.config().clone();
    // transformers knows which end is the conversation's, a GGUF file only that both are ends.
    config.eos.clone_from(&from_directory.config().eos);
    assert_eq!(&config, from_directory.config());
    let tokenizer = from_directory.tokenizer().unwrap();
    let prompt = tokenizer.encode(PROMPT, false).unwrap();
    assert_eq!(from_gguf.tokenizer().unwrap().encode(PROMPT, false).unwrap(), prompt);
    assert_eq!(
        from_gguf.weights().names().collect::<Vec<_>>(),
        from_directory.weights().names().collect::<Vec<_>>()
    );

    let (expected, expected_logits) = generate(from_directory, &prompt, 24);
    let (tokens, logits) = generate(from_gguf, &prompt, 24);
    assert_eq!(tokens, expected);
    assert!(logits.iter().zip(&expected_logits).all(|(a, b)| a.to_bits() == b.to_bits()));
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
    let (directory, temp) = (repository("models/demo"), TempDir::new());
    let path = temp.file("model.gguf");
    GgufFile::from_directory(&directory, Dtype::Q8_0, q8_0_bytes).write(&path);
    let prompt =
        ModelSource::open(&path).unwrap().tokenizer().unwrap().encode(PROMPT, false).unwrap();
    let logits = |path: &Path| generate(ModelSource::open(path).unwrap(), &prompt, 0).1;
    let (quantised, exact) = (logits(&path), logits(&directory));
    let largest = exact.iter().fold(0.0_f32, |max, logit| max.max(logit.abs()));
    let worst = quantised.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
    assert!(worst > 0.0 && worst < 0.05 * largest, "{worst} of {largest}");
}

#[test]
fn divisors_of_rotary_frequencies_are_llama_3_scaling() {
    let (directory, temp) = (repository("tests/fixtures/llama-rope3"), TempDir::new());
    let path = temp.file("model.gguf");
    GgufFile::from_directory(&directory, Dtype::Bf16, bf16_bytes).write(&path);
    let (from_directory, from_gguf) =
        (ModelSource::open(&directory).unwrap(), ModelSource::open(&path).unwrap());
    assert!(matches!(
        &from_gguf.config().rope.scaling,
        RopeScaling::PerPair { divisors } if divisors.len() == 4 && divisors[3] == 8.0
    ));
    let prompt = from_directory.tokenizer().unwrap().encode(PROMPT, false).unwrap();
    let (expected, expected_logits) = generate(from_directory, &prompt, 24);
    let (tokens, logits) = generate(from_gguf, &prompt, 24);
    assert_eq!(tokens, expected);
    assert!(
        logits.iter().zip(&expected_logits).all(|(a, b)| (a - b).abs() < 1e-3),
        "{logits:?} {expected_logits:?}"
    );
}

#[test]
fn chat_template_and_ends_come_from_the_metadata() {
    let (directory, temp) = (repository("tests/fixtures/llama"), TempDir::new());
    let path = temp.file("model.gguf");
    GgufFile::from_directory(&directory, Dtype::F32, f32_bytes).write(&path);
    let (from_directory, from_gguf) =
        (ModelSource::open(&directory).unwrap(), ModelSource::open(&path).unwrap());
    let messages = [Message::new("user", "Hello"), Message::new("assistant", "Hi")];
    let render =
        |source: &ModelSource| source.template().unwrap().unwrap().render(&messages, true).unwrap();
    assert_eq!(render(&from_gguf), render(&from_directory));
    assert_eq!((&from_gguf.config().eos, from_gguf.config().bos), (&vec![277, 279], Some(277)));
}

#[test]
fn parts_are_one_model() {
    let temp = TempDir::new();
    let whole = ModelSource::open(&{
        let path = temp.file("whole.gguf");
        tiny().write(&path);
        path
    });
    let mut first = tiny();
    let mut second = first.split_off(5);
    for (number, file) in [(0, &mut first), (1, &mut second)] {
        file.count("split.no", number);
        file.count("split.count", 2);
    }
    let path = |number: u32| temp.file(&format!("model-0000{number}-of-00002.gguf"));
    first.write(&path(1));
    let error = ModelSource::open(&path(1)).unwrap_err().to_string();
    assert!(error.contains("has no model-00002-of-00002.gguf; download all parts"), "{error}");
    second.write(&path(2));
    let parts = ModelSource::open(&path(1)).unwrap();
    assert_eq!(parts.fingerprint().unwrap(), whole.unwrap().fingerprint().unwrap());
    second.text("general.architecture", "llama");
    second.write(&path(2));
    let error = ModelSource::open(&path(2)).unwrap_err().to_string();
    assert!(
        error.contains("part 2 of 2 of a GGUF file is not supported; give the first part"),
        "{error}"
    );
    fs::rename(path(1), temp.file("other.gguf")).unwrap();
    let error = ModelSource::open(&temp.file("other.gguf")).unwrap_err().to_string();
    assert!(error.contains("does not end in -00001-of-00002.gguf"), "{error}");
}

#[test]
fn drafters_beside_a_file() {
    let temp = TempDir::new();
    let path = temp.file("a.b.gguf");
    tiny().write(&path);
    let source = ModelSource::open(&path).unwrap();
    let file = |name: &str| source.file(name).unwrap().map(|content| content.into_owned());
    assert_eq!(file("drafter-hat.json"), None);
    fs::write(temp.file("drafter-hat.json"), "any").unwrap();
    fs::write(temp.file("chat_template.jinja"), "another model's").unwrap();
    assert_eq!(file("drafter-hat.json").unwrap(), b"any");
    fs::write(temp.file("a.b.drafter-hat.json"), "own").unwrap();
    assert_eq!(file("drafter-hat.json").unwrap(), b"own");
    assert_eq!(file("chat_template.jinja"), None);
}

#[test]
fn a_file_is_known_by_its_content_or_its_name() {
    let temp = TempDir::new();
    let blob = temp.file("sha256-0123");
    tiny().write(&blob);
    assert_eq!(ModelSource::open(&blob).unwrap().config().layers, 3);
    fs::write(&blob, "GGML").unwrap();
    assert!(matches!(ModelSource::open(&blob), Err(ModelError::NotAModel(_))));
    fs::rename(&blob, temp.file("model.GGUF")).unwrap();
    assert!(matches!(
        ModelSource::open(&temp.file("model.GGUF")),
        Err(ModelError::Truncated { .. } | ModelError::Gguf { .. })
    ));
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
    assert_eq!([whole.weights_format(), open(&path).weights_format()], [Some("stored"); 2]);
    assert_eq!(open(&path).quantised(Some(Quant::F32)).unwrap().weights_format(), Some("f32"));
    assert!(generate(whole, &prompt, 12) == expected);
    let packed = pack(&open(&path), "2:0".parse().unwrap(), &temp.file("parts")).unwrap();
    assert_eq!(open(&packed.device).fingerprint().unwrap(), open(&path).fingerprint().unwrap());
    assert!(packed.device_bytes > packed.cloud_bytes / 8 && open(&packed.cloud).is_packed());
}
