//! Bad model files end in a typed error that names what is wrong and the mend.

use std::fs;

use crate::support::{Stored, TempDir, f32s, model_dir, tiny_config, write_tensors};
use serde_json::json;
use tricorn_core::{Fingerprint, Split};
use tricorn_kernels::Dtype;
use tricorn_model::{
    BundlePart, ModelError, ModelSource,
    formats::bundle::{Bundle, Manifest},
    formats::hf,
};
use tricorn_text::TextError;

const NORM: &str = "model.norm.weight";
const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

fn split(text: &str) -> Split {
    text.parse().unwrap()
}

fn open_error(dir: &TempDir) -> ModelError {
    ModelSource::open(dir.path()).unwrap_err()
}

/// A directory with the tensors `a` and `b` in two shards.
fn sharded() -> TempDir {
    let dir = TempDir::new();
    fs::write(dir.file("config.json"), tiny_config().to_string()).unwrap();
    write_tensors(&dir.file(SHARDS[0]), &[f32s("a", &[2], &[1.0, 2.0])]);
    write_tensors(&dir.file(SHARDS[1]), &[f32s("b", &[1, 2], &[3.0, 4.0])]);
    write_index(&dir, SHARDS[0], SHARDS[1]);
    dir
}

fn write_index(dir: &TempDir, a: &str, b: &str) {
    let index = json!({ "metadata": { "total_size": 16 }, "weight_map": { "a": a, "b": b } });
    fs::write(dir.file("model.safetensors.index.json"), index.to_string()).unwrap();
}

#[test]
fn every_format_becomes_f32() {
    let dir = TempDir::new();
    let numbers = [1.5f32, -0.25, 0.0, 3.0];
    let half: Vec<u8> =
        numbers.iter().flat_map(|n| half::f16::from_f32(*n).to_le_bytes()).collect();
    let brain: Vec<u8> =
        numbers.iter().flat_map(|n| half::bf16::from_f32(*n).to_le_bytes()).collect();
    let path = dir.file("model.safetensors");
    write_tensors(
        &path,
        &[
            f32s("single", &[2, 2], &numbers),
            Stored { name: "half", dtype: safetensors::Dtype::F16, shape: vec![2, 2], bytes: half },
            Stored { name: "brain", dtype: safetensors::Dtype::BF16, shape: vec![4], bytes: brain },
        ],
    );
    let weights = hf::open_dir(dir.path()).unwrap();
    assert_eq!(weights.names().collect::<Vec<_>>(), ["brain", "half", "single"]);
    assert_eq!(weights.f32("single", &[2, 2]).unwrap(), numbers);
    assert_eq!(weights.f32("half", &[2, 2]).unwrap(), numbers);
    assert_eq!(weights.f32("brain", &[4]).unwrap(), numbers);
    assert_eq!(weights.raw("brain", &[4]).unwrap().dtype, Dtype::Bf16);
    assert_eq!(weights.raw("single", &[2, 2]).unwrap().bytes.len(), 16);

    let bytes: &'static [u8] = fs::read(&path).unwrap().leak();
    assert_eq!(hf::open_static("built in", bytes).unwrap().f32("half", &[2, 2]).unwrap(), numbers);
}

#[test]
fn shards_are_one_model() {
    let dir = sharded();
    let weights = hf::open_dir(dir.path()).unwrap();
    assert!(weights.has("a") && weights.has("b") && !weights.has("c"));
    assert_eq!(weights.f32("b", &[1, 2]).unwrap(), [3.0, 4.0]);
}

#[test]
fn missing_directory_and_missing_files() {
    let dir = TempDir::new();
    assert!(matches!(ModelSource::open(&dir.file("nowhere")), Err(ModelError::Io { .. })));
    fs::write(dir.file("a file"), "").unwrap();
    assert!(matches!(ModelSource::open(&dir.file("a file")), Err(ModelError::NotAModel(_))));

    let error = open_error(&dir);
    assert!(
        matches!(&error, ModelError::MissingFile { file, .. } if file == "config.json"),
        "{error}"
    );
    fs::write(dir.file("config.json"), tiny_config().to_string()).unwrap();
    let error = open_error(&dir);
    assert!(
        matches!(&error, ModelError::MissingFile { file, .. } if file == "model.safetensors"),
        "{error}"
    );
    assert!(error.to_string().contains("hf download"), "{error}");
}

#[test]
fn missing_shard_is_named() {
    let dir = sharded();
    fs::remove_file(dir.file(SHARDS[1])).unwrap();
    assert!(matches!(open_error(&dir), ModelError::MissingFile { file, .. } if file == SHARDS[1]));
}

#[test]
fn shard_without_a_promised_tensor() {
    let dir = sharded();
    write_tensors(&dir.file(SHARDS[1]), &[f32s("c", &[1], &[0.0])]);
    assert!(matches!(open_error(&dir), ModelError::MissingTensor { name } if name == "b"));
}

#[test]
fn tensor_in_two_shards() {
    let dir = sharded();
    write_tensors(&dir.file(SHARDS[1]), &[f32s("a", &[1], &[0.0])]);
    assert!(matches!(open_error(&dir), ModelError::Corrupt { .. }));
}

#[test]
fn shards_cannot_leave_the_directory() {
    let dir = sharded();
    let outside = dir.path().parent().unwrap().join("outside.safetensors").display().to_string();
    for evil in [
        "../outside.safetensors",
        "sub/../../x",
        outside.as_str(),
        "..",
        ".",
        "",
        "sub/x.safetensors",
        "..\\x",
        "./x",
    ] {
        write_index(&dir, SHARDS[0], evil);
        let error = open_error(&dir);
        assert!(
            matches!(&error, ModelError::ShardPath { shard, .. } if shard == evil),
            "{evil}: {error}"
        );
    }
}

#[test]
fn broken_index() {
    let dir = sharded();
    fs::write(dir.file("model.safetensors.index.json"), "{\"weight_map\": 3}").unwrap();
    assert!(matches!(open_error(&dir), ModelError::Json { .. }));
}

#[test]
fn truncated_files_at_every_length() {
    let dir = model_dir();
    let path = dir.file("model.safetensors");
    let whole = fs::read(&path).unwrap();
    for length in [0, 1, 7, 8, 9, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = open_error(&dir);
        assert!(
            matches!(&error, ModelError::Truncated { found, .. } if *found == length as u64),
            "{length}: {error}"
        );
        assert!(error.to_string().contains("model.safetensors is truncated"), "{error}");
    }
}

#[test]
fn corrupt_headers() {
    let dir = model_dir();
    let path = dir.file("model.safetensors");
    let with_header = |header: &str, data: usize| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    };
    let mut longer = fs::read(&path).unwrap();
    longer.push(0);
    let huge = usize::MAX;
    for bytes in [
        b"<!DOCTYPE html><html><body>".to_vec(),
        with_header("not json", 4),
        with_header("\u{0}\u{0}", 4),
        with_header(r#"{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}"#, 4),
        with_header(r#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}"#, 4),
        with_header(r#"{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}"#, 4),
        with_header(r#"{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}"#, 8),
        with_header(
            &format!(
                r#"{{"a": {{"dtype": "F32", "shape": [{huge}, 4], "data_offsets": [0, 4]}}}}"#
            ),
            4,
        ),
        with_header(
            &format!(
                r#"{{"a": {{"dtype": "U8", "shape": [{huge}], "data_offsets": [0, {huge}]}}}}"#
            ),
            4,
        ),
        with_header(
            r#"{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}"#,
            4,
        ),
        longer,
    ] {
        fs::write(&path, &bytes).unwrap();
        let error = open_error(&dir);
        assert!(matches!(error, ModelError::Corrupt { .. }), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn wrong_shape_missing_tensor_and_format_that_is_not_a_float() {
    let dir = TempDir::new();
    let quantised =
        Stored { name: "q", dtype: safetensors::Dtype::I8, shape: vec![2], bytes: vec![0; 2] };
    write_tensors(&dir.file("model.safetensors"), &[f32s(NORM, &[4], &[1.0; 4]), quantised]);
    let weights = hf::open_dir(dir.path()).unwrap();

    let error = weights.f32(NORM, &[8]).unwrap_err();
    assert!(matches!(
        &error,
        ModelError::WrongShape { name, found, expected }
            if name == NORM && found == &[4] && expected == &[8]
    ));
    assert!(
        error
            .to_string()
            .contains("model.norm.weight has shape [4] but the configuration calls for [8]"),
        "{error}"
    );
    assert!(matches!(weights.f32(NORM, &[2, 2]), Err(ModelError::WrongShape { .. })));
    assert!(matches!(
        weights.f32("lm_head.weight", &[1]),
        Err(ModelError::MissingTensor { name }) if name == "lm_head.weight"
    ));
    let error = weights.f32("q", &[2]).unwrap_err();
    assert!(
        matches!(
            &error,
            ModelError::UnsupportedDtype { name, dtype } if name == "q" && dtype == "I8"
        ),
        "{error}"
    );
}

#[test]
fn bad_config_values() {
    let dir = model_dir();
    for (field, value, expected) in [
        ("hidden_size", json!(0), "hidden_size is 0"),
        ("num_hidden_layers", json!(1u64 << 40), "num_hidden_layers is 1099511627776"),
        ("num_key_value_heads", json!(3), "num_key_value_heads is 3"),
        ("architectures", json!(["GPT2LMHeadModel"]), "GPT2LMHeadModel is not supported"),
        ("quantization_config", json!({ "quant_method": "awq" }), "quantised with awq"),
    ] {
        let mut config = tiny_config();
        config[field] = value;
        fs::write(dir.file("config.json"), config.to_string()).unwrap();
        let error = open_error(&dir).to_string();
        assert!(error.contains(expected), "{error}");
    }
    fs::write(dir.file("config.json"), b"\xff\xfe{}").unwrap();
    assert!(matches!(open_error(&dir), ModelError::Json { file, .. } if file == "config.json"));
}

#[test]
fn tokenizer_problems() {
    let dir = model_dir();
    let source = ModelSource::open(dir.path()).unwrap();
    assert!(matches!(
        source.tokenizer(),
        Err(ModelError::MissingFile { file, .. }) if file == "tokenizer.json"
    ));
    fs::write(dir.file("tokenizer.json"), "{}").unwrap();
    assert!(matches!(source.tokenizer(), Err(ModelError::Text(TextError::Tokenizer { .. }))));
    let tokenizer = |vocab: &[&str]| {
        let vocab: serde_json::Map<_, _> =
            vocab.iter().enumerate().map(|(id, token)| ((*token).to_owned(), json!(id))).collect();
        let model = json!({ "type": "BPE", "vocab": vocab, "merges": [] });
        json!({ "version": "1.0", "added_tokens": [], "model": model }).to_string()
    };
    let letters = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    fs::write(dir.file("tokenizer.json"), tokenizer(&letters)).unwrap();
    assert!(matches!(
        source.tokenizer(),
        Err(ModelError::Text(TextError::Vocabulary { highest: 8, vocab: 8 }))
    ));
    fs::write(dir.file("tokenizer.json"), tokenizer(&letters[..8])).unwrap();
    assert_eq!(source.tokenizer().unwrap().encode("bad", true).unwrap(), [1, 0, 3]);
    assert!(source.template().unwrap().is_none());
}

#[test]
fn fingerprint_tells_models_apart_and_ignores_the_rest() {
    let print = |dir: &TempDir| ModelSource::open(dir.path()).unwrap().fingerprint().unwrap();
    let dir = model_dir();
    let original = print(&dir);
    assert_eq!(print(&model_dir()), original);

    fs::write(dir.file("drafter-hat.safetensors"), b"anything").unwrap();
    fs::write(dir.file("tokenizer_config.json"), b"{}").unwrap();
    let mut config = tiny_config();
    config["max_position_embeddings"] = json!(32);
    fs::write(dir.file("config.json"), config.to_string()).unwrap();
    assert_eq!(print(&dir), original);

    config["rope_theta"] = json!(500.0);
    fs::write(dir.file("config.json"), config.to_string()).unwrap();
    assert_ne!(print(&dir), original);

    let dir = model_dir();
    let path = dir.file("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&path, &changed).unwrap();
    assert_ne!(print(&dir), original);
}

#[test]
fn fingerprint_does_not_depend_on_how_tensors_are_sharded() {
    let dir = sharded();
    let in_shards = ModelSource::open(dir.path()).unwrap().fingerprint().unwrap();
    fs::remove_file(dir.file("model.safetensors.index.json")).unwrap();
    write_tensors(
        &dir.file("model.safetensors"),
        &[f32s("a", &[2], &[1.0, 2.0]), f32s("b", &[1, 2], &[3.0, 4.0])],
    );
    assert_eq!(ModelSource::open(dir.path()).unwrap().fingerprint().unwrap(), in_shards);
    write_tensors(
        &dir.file("model.safetensors"),
        &[f32s("a", &[2], &[1.0, 2.0]), f32s("b", &[2, 1], &[3.0, 4.0])],
    );
    assert_ne!(ModelSource::open(dir.path()).unwrap().fingerprint().unwrap(), in_shards);
}

#[test]
fn bundles() {
    let dir = model_dir();
    let whole = ModelSource::open(dir.path()).unwrap();
    assert!(whole.bundle().is_none());
    assert!(whole.expect_part(BundlePart::Cloud, split("1:1")).is_ok());

    let bundle = Bundle { part: BundlePart::Device, split: split("1:1") };
    fs::write(dir.file("tricorn.json"), Manifest::of_part(bundle, Fingerprint([9; 32])).to_json())
        .unwrap();
    let source = ModelSource::open(dir.path()).unwrap();
    assert_eq!(
        (source.bundle(), source.fingerprint().unwrap()),
        (Some(&bundle), Fingerprint([9; 32]))
    );
    assert!(source.expect_part(BundlePart::Device, split("1:1")).is_ok());
    let error = source.expect_part(BundlePart::Cloud, split("1:1")).unwrap_err().to_string();
    assert!(
        error.contains("this is a device bundle for split 1:1; use the cloud bundle"),
        "{error}"
    );
    assert!(source.expect_part(BundlePart::Device, split("2:0")).is_err());

    let bundle = Bundle { part: BundlePart::Device, split: split("9:9") };
    fs::write(dir.file("tricorn.json"), Manifest::of_part(bundle, Fingerprint([9; 32])).to_json())
        .unwrap();
    assert!(matches!(open_error(&dir), ModelError::Split(_)));
    fs::write(dir.file("tricorn.json"), "{}").unwrap();
    assert!(matches!(open_error(&dir), ModelError::Bundle { .. }));
}

#[test]
fn side_weights_and_other_files() {
    let dir = model_dir();
    let source = ModelSource::open(dir.path()).unwrap();
    assert!(source.side_weights("drafter-hat.safetensors").unwrap().is_none());
    assert!(source.file("drafter-hat.json").unwrap().is_none());
    write_tensors(&dir.file("drafter-hat.safetensors"), &[f32s("d", &[1], &[7.0])]);
    assert_eq!(
        source.side_weights("drafter-hat.safetensors").unwrap().unwrap().f32("d", &[1]).unwrap(),
        [7.0]
    );
    fs::write(dir.file("drafter-hat.safetensors"), b"short").unwrap();
    assert!(matches!(
        source.side_weights("drafter-hat.safetensors"),
        Err(ModelError::Truncated { .. })
    ));
    assert!(source.file("config.json").unwrap().unwrap().starts_with(b"{"));
}

#[test]
fn model_built_into_the_program() {
    let dir = model_dir();
    let leak = |name: &str| -> &'static [u8] { fs::read(dir.file(name)).unwrap().leak() };
    let files = vec![
        ("config.json", leak("config.json")),
        ("model.safetensors", leak("model.safetensors")),
    ]
    .leak();
    let source = ModelSource::from_static(files).unwrap();
    assert_eq!(
        source.fingerprint().unwrap(),
        ModelSource::open(dir.path()).unwrap().fingerprint().unwrap()
    );
    assert_eq!(source.weights().f32(NORM, &[4]).unwrap().len(), 4);
    assert!(source.side_weights("drafter-hat.safetensors").unwrap().is_none());
    let error = ModelSource::from_static(&files[..1]).unwrap_err().to_string();
    assert!(error.contains("the built-in model has no model.safetensors"), "{error}");
}
