//! Dense directories that were written are the model that they were written from.

use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tricorn_core::Split;
use tricorn_kernels::{Dtype, KvFormat};
use tricorn_model::{
    InputPart, KvPool, MiddlePart, ModelError, ModelSource, OutputPart, SeqRows,
    export::{DenseDirectory, DenseTensor},
    weights::Stored,
};

use crate::support::{
    TempDir,
    gguf::{GgufFile, bf16_bytes, f16_bytes, q8_0_bytes},
    uneven::{SHAPES, Uneven},
};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn open(dir: &Path) -> ModelSource {
    ModelSource::open(dir).unwrap()
}

fn stored(source: &ModelSource, name: &str) -> Dtype {
    let found = source.weights().iter().find(|(found, _)| *found == name);
    match found.unwrap().1.stored {
        Stored::Known(dtype) => dtype,
        Stored::Other(other) => panic!("{other:?}"),
    }
}

/// Writes a model as it is stored.
fn write(source: &ModelSource, directory: DenseDirectory<'_>, to: &Path) {
    let read = |tensor: &DenseTensor| Ok(source.weights().raw(&tensor.name, &tensor.shape)?.bytes);
    let written = directory.write(to, |name| stored(source, name), read).unwrap();
    let bytes: usize = source.weights().iter().map(|(_, info)| info.bytes()).sum();
    assert_eq!(written, bytes);
}

fn logits(source: ModelSource) -> Vec<u32> {
    let (source, split) = (Arc::new(source), "1:0".parse::<Split>().unwrap());
    let pool = KvPool::with_format(usize::MAX, KvFormat::F32);
    let input = InputPart::load(&source, split).unwrap();
    let middle = MiddlePart::load(&source, split).unwrap();
    let output = OutputPart::load(&source, split).unwrap();
    let tokens = [1, 5, 9, 13, 2, 40];
    let mut x = input.forward_at(&mut input.new_kv(&pool, 64), 0, &tokens).unwrap();
    let mut kv = middle.new_kv(&pool, 64);
    middle.forward(&mut [SeqRows { kv: &mut kv, pos: 0, rows: tokens.len() }], &mut x).unwrap();
    output.forward_at(&mut output.new_kv(&pool, 64), 0, &mut x).unwrap();
    output.logits(&x).unwrap().iter().map(|logit| logit.to_bits()).collect()
}

#[test]
fn every_family_is_written_and_read_back() {
    for family in ["llama", "llama-rope3", "mistral", "qwen2", "qwen3"] {
        let dir = repository("tests/fixtures").join(family);
        let (source, out) = (open(&dir), TempDir::new());
        for (name, shard_bytes) in [("one", usize::MAX), ("shards", 20_000), ("each", 1)] {
            let to = out.file(name);
            let directory = DenseDirectory::new(source.config())
                .with_files_of(&source)
                .with_shards_of(shard_bytes);
            write(&source, directory, &to);
            let written = open(&to);
            assert_eq!(written.config(), source.config(), "{family}");
            assert_eq!(written.fingerprint().unwrap(), source.fingerprint().unwrap(), "{family}");
            assert_eq!(to.join("model.safetensors").exists(), name == "one");
            assert_eq!(written.tokenizer().unwrap().encode("a hat", false).unwrap(), {
                source.tokenizer().unwrap().encode("a hat", false).unwrap()
            });
            assert_eq!(written.template().unwrap().is_some(), source.template().unwrap().is_some());
            assert_eq!(logits(written), logits(open(&dir)), "{family} {name}");
        }
        let shards = fs::read_dir(out.file("each")).unwrap().filter(|entry| {
            entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "safetensors")
        });
        assert_eq!(shards.count(), source.weights().iter().count());
    }
}

#[test]
fn uneven_layers_are_written_as_lists() {
    for family in ["LlamaForCausalLM", "Qwen3ForCausalLM"] {
        let model = Uneven::new(family, &SHAPES);
        let (source, out) = (open(model.dir.path()), TempDir::new());
        write(&source, DenseDirectory::new(source.config()), &out.file("model"));
        let written = open(&out.file("model"));
        assert_eq!(written.config(), source.config());
        assert_eq!(written.fingerprint().unwrap(), source.fingerprint().unwrap());
        assert_eq!(logits(written), logits(open(model.dir.path())));
        let text = fs::read_to_string(out.file("model").join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(config["num_attention_heads"], serde_json::json!([4, 6, 0, 2, 3, 4]));
        assert_eq!(config["intermediate_size"], serde_json::json!([64, 40, 24, 96, 0, 33]));
    }
}

#[test]
fn a_quantised_file_becomes_a_dense_directory() {
    let temp = TempDir::new();
    let path = temp.file("model.gguf");
    let fixture = repository("tests/fixtures/llama-rope3");
    GgufFile::from_directory(&fixture, Dtype::Q8_0, q8_0_bytes).write(&path);
    let source = open(&path);
    let read = |tensor: &DenseTensor| {
        let numbers = source.weights().f32(&tensor.name, &tensor.shape)?;
        Ok(Cow::Owned(match tensor.dtype {
            Dtype::F16 => f16_bytes(&numbers),
            _ => bf16_bytes(&numbers),
        }))
    };
    let mixed = |name: &str| if name.contains("norm") { Dtype::F16 } else { Dtype::Bf16 };
    let directory = DenseDirectory::new(source.config()).with_files_of(&source);
    directory.write(&temp.file("dense"), mixed, read).unwrap();
    let written = open(&temp.file("dense"));
    assert_eq!(written.config(), source.config());
    assert_eq!(stored(&written, "model.norm.weight"), Dtype::F16);
    assert_eq!(stored(&written, "lm_head.weight"), Dtype::Bf16);
    assert!(written.tokenizer().is_ok() && written.template().unwrap().is_some());
}

#[test]
fn what_cannot_be_written_is_refused_and_leaves_no_model() {
    let source = open(&repository("tests/fixtures/llama"));
    let (out, directory) = (TempDir::new(), DenseDirectory::new(source.config()));
    let zeros = |tensor: &DenseTensor| -> Result<Cow<'static, [u8]>, ModelError> {
        let count = tensor.shape.iter().product();
        Ok(Cow::Owned(vec![0; tensor.dtype.bytes(count).unwrap()]))
    };
    let refused = directory.write(&out.file("a"), |_| Dtype::Q8_0, zeros).unwrap_err().to_string();
    assert!(refused.contains("is no dense format; write F32, F16 or BF16"), "{refused}");
    let short = |_: &DenseTensor| Ok(Cow::Borrowed(&[0_u8; 3][..]));
    let refused = directory.write(&out.file("b"), |_| Dtype::F32, short).unwrap_err().to_string();
    assert!(refused.contains("cannot be written: it has 3 bytes and needs"), "{refused}");
    assert!(ModelSource::open(&out.file("b")).is_err());
    directory.write(&out.file("c"), |_| Dtype::F16, zeros).unwrap();
    let refused = directory.write(&out.file("c"), |_| Dtype::F16, zeros).unwrap_err().to_string();
    assert!(refused.contains("cannot write") && refused.contains("a model is there"), "{refused}");
}
