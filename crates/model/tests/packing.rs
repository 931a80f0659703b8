//! Quantised at load, or packed before and mapped: the same numbers, the memory that was announced,
//! and typed errors for broken files.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::support::TempDir;
use serde_json::Value;
use tricorn_core::Split;
use tricorn_kernels::{Dtype, KvFormat};
use tricorn_model::{
    ComputeDevice, InputPart, KvPool, MiddlePart, ModelError, ModelSource, OutputPart, SeqRows,
    inspect::inspect,
    pack::{pack, pack_whole},
    quant::Quant,
};

const TOKENS: [u32; 9] = [3, 1, 4, 1, 5, 9, 2, 6, 5];
const MANIFEST: &str = "tricorn.json";
const PANELS: &str = "panels.safetensors";

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo")
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

fn split() -> Split {
    "2:1".parse().unwrap()
}

fn open(path: &Path, quant: Option<Quant>) -> Arc<ModelSource> {
    Arc::new(ModelSource::open(path).unwrap().quantised(quant).unwrap())
}

/// Logits of [`TOKENS`], with the bytes of weights that the three parts hold.
fn run(device: &Arc<ModelSource>, cloud: &ModelSource) -> (Vec<f32>, [usize; 3]) {
    let input = InputPart::load(device, split()).unwrap();
    let middle = MiddlePart::load(cloud, split()).unwrap();
    let output = OutputPart::load(device, split()).unwrap();
    let pool = KvPool::new(usize::MAX);
    let mut x = input.forward_at(&mut input.new_kv(&pool, 16), 0, &TOKENS).unwrap();
    middle
        .forward(
            &mut [SeqRows { kv: &mut middle.new_kv(&pool, 16), pos: 0, rows: TOKENS.len() }],
            &mut x,
        )
        .unwrap();
    output.forward_at(&mut output.new_kv(&pool, 16), 0, &mut x).unwrap();
    (output.logits(&x).unwrap(), [input.bytes(), middle.bytes(), output.bytes()])
}

fn whole(source: &Arc<ModelSource>) -> (Vec<f32>, [usize; 3]) {
    run(source, source)
}

/// How far two models' logits are apart, as a share of the first's deviation.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    let mean = a.iter().map(|a| f64::from(*a)).sum::<f64>() / a.len() as f64;
    let off: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    (off / a.iter().map(|a| (f64::from(*a) - mean).powi(2)).sum::<f64>()).sqrt()
}

#[test]
fn parts_of_one_model_name_their_format_alike_however_they_came_to_it() {
    let model = demo();
    let format = |path: &Path, quant| open(path, quant).weights_format().map(str::to_owned);
    assert_eq!(format(&model, None).as_deref(), Some("stored"));
    for quant in [Quant::Q8, Quant::Q4K] {
        let dir = TempDir::new();
        let packed = pack(&open(&model, Some(quant)), split(), dir.path()).unwrap();
        for (path, quantised) in
            [(&model, Some(quant)), (&packed.device, None), (&packed.cloud, None)]
        {
            assert_eq!(format(path, quantised).as_deref(), Some(quant.name()));
        }
        // As packed before the name was written down.
        let manifest = packed.cloud.join(MANIFEST);
        let mut old: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
        old["packed"].as_object_mut().unwrap().remove("weights").unwrap();
        fs::write(&manifest, old.to_string()).unwrap();
        assert_eq!(format(&packed.cloud, None), None);
    }
    // To widen what is not quantised changes no product.
    assert_eq!(format(&model, Some(Quant::F32)).as_deref(), Some("stored"));
    let stored = TempDir::new();
    let bundles = pack(&open(&model, None), split(), stored.path()).unwrap();
    assert_eq!(format(&bundles.cloud, None).as_deref(), Some("stored"));
    assert_eq!(format(&bundles.device, Some(Quant::Q8)).as_deref(), Some("q8"));
}

#[test]
fn fewer_bits_are_smaller_and_still_the_model() {
    let stored = open(&demo(), None);
    let (exact, _) = whole(&stored);
    let mut before = usize::MAX;
    for (quant, most) in
        [(Quant::F32, 0.0), (Quant::F16, 0.0), (Quant::Q8, 0.04), (Quant::Q4K, 0.25)]
    {
        let source = open(&demo(), Some(quant));
        assert_eq!(source.fingerprint().unwrap(), stored.fingerprint().unwrap());
        let (logits, bytes) = whole(&source);
        let off = apart(&exact, &logits);
        assert!(off <= most, "{quant}: {off}");
        assert!(bytes.iter().sum::<usize>() < before, "{quant}: {bytes:?}");
        before = bytes.iter().sum();
    }
}

#[test]
fn packed_models_are_the_same_to_the_bit() {
    for (model, quants) in [
        (demo(), &[Some(Quant::Q4K), Some(Quant::Q8)][..]),
        (fixture("qwen2"), &[None, Some(Quant::Q8), Some(Quant::Q4K)]),
    ] {
        for &quant in quants {
            let source = open(&model, quant);
            let (expected, _) = whole(&source);
            let dir = TempDir::new();
            let bytes = pack_whole(&source, &dir.file("whole")).unwrap();
            let mapped = open(&dir.file("whole"), None);
            assert!(mapped.is_packed() && mapped.bundle().is_none());
            assert_eq!(mapped.fingerprint().unwrap(), source.fingerprint().unwrap());
            let (found, held) = whole(&mapped);
            assert_eq!(found, expected, "{quant:?}");
            assert!(held.iter().sum::<usize>() <= bytes + 4 * 4096, "{held:?} of {bytes}");

            let Some(quant) = quant else { continue };
            let packed = pack(&open(&model, Some(quant)), split(), &dir.file("parts")).unwrap();
            let (device, cloud) = (open(&packed.device, None), open(&packed.cloud, None));
            assert_eq!(run(&device, &cloud).0, expected, "{quant}");
            assert!(MiddlePart::load(&device, split()).is_err());
            assert!(cloud.file("tokenizer.json").unwrap().is_none());
        }
    }
}

#[test]
fn packed_weights_are_for_processors() {
    let dir = TempDir::new();
    pack_whole(&open(&fixture("llama"), Some(Quant::Q8)), &dir.file("whole")).unwrap();
    let packed = ModelSource::open(&dir.file("whole")).unwrap().on(ComputeDevice::Cpu).unwrap();
    let refused = packed.on(ComputeDevice::Cuda(0));
    let error = refused.unwrap_err().to_string();
    assert!(
        error.contains("packed weights on cuda:0")
            && error.contains("give the model that they were packed from"),
        "{error}"
    );
}

#[test]
fn inspect_states_the_memory_that_is_held() {
    let all = [None, Some(Quant::F32), Some(Quant::Q8), Some(Quant::Q4K)];
    for (model, quants) in [
        (demo(), &all[3..]),
        (fixture("qwen2"), &all),
        (fixture("qwen3"), &all),
        (fixture("mistral"), &all),
    ] {
        for &quant in quants {
            let source = open(&model, quant);
            let dir = TempDir::new();
            pack_whole(&source, dir.path()).unwrap();
            for source in [source, open(dir.path(), None)] {
                let (_, bytes) = whole(&source);
                let found = inspect(&source, split(), KvFormat::default()).unwrap();
                assert_eq!(
                    [
                        found.input_resident_bytes,
                        found.middle_resident_bytes,
                        found.output_resident_bytes
                    ],
                    bytes,
                    "{quant:?}"
                );
            }
        }
    }
}

#[test]
fn packed_weights_take_at_most_a_tenth_more_than_ggmls() {
    for quant in [Quant::Q8, Quant::Q4K] {
        let dir = TempDir::new();
        pack_whole(&open(&demo(), Some(quant)), dir.path()).unwrap();
        let source = open(dir.path(), None);
        let matrices = source.tensors().filter(|tensor| tensor.format.starts_with('Q'));
        let ggml = matrices.map(|tensor| {
            let dtype = Dtype::ALL.into_iter().find(|dtype| dtype.name() == tensor.format).unwrap();
            dtype.bytes(tensor.shape.iter().product()).unwrap()
        });
        let (ggml, held): (usize, usize) = (ggml.sum(), whole(&source).1.iter().sum());
        assert!(
            held as f64 <= 1.1 * ggml as f64 && held as f64 >= ggml as f64,
            "{quant}: {held} for {ggml}"
        );
    }
}

#[test]
fn nothing_is_quantised_or_packed_twice() {
    let dir = TempDir::new();
    pack_whole(&open(&demo(), Some(Quant::Q8)), dir.path()).unwrap();
    let again = ModelSource::open(dir.path()).unwrap().quantised(Some(Quant::Q4K)).unwrap_err();
    assert!(matches!(&again, ModelError::AlreadyQuantised { .. }), "{again}");
    let packed = open(dir.path(), None);
    for error in [
        pack_whole(&packed, &dir.file("x")).unwrap_err(),
        pack(&packed, split(), &dir.file("x")).unwrap_err(),
    ] {
        assert!(error.to_string().contains("a packed model cannot be packed again"), "{error}");
    }
}

#[test]
fn numbers_that_cannot_be_quantised_are_named() {
    let dir = TempDir::new();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(fixture("llama").join(name), dir.file(name)).unwrap();
    }
    let path = dir.file("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let text: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let name = "model.layers.1.mlp.down_proj.weight";
    let at = 8 + header + text[name]["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[at + 400..at + 404].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let error =
        MiddlePart::load(&open(dir.path(), Some(Quant::Q8)), "1:1".parse().unwrap()).unwrap_err();
    assert!(
        matches!(&error, ModelError::Unquantisable { name: found, .. } if found == name),
        "{error}"
    );
    assert!(error.to_string().contains("holds NaN, which Q8_0 has no code for"), "{error}");
}

/// A packed model whose files are to be broken.
fn packed() -> TempDir {
    let dir = TempDir::new();
    pack_whole(&open(&fixture("qwen2"), Some(Quant::Q8)), dir.path()).unwrap();
    dir
}

#[test]
fn broken_panels_are_typed_errors() {
    let dir = packed();
    let (manifest, panels) =
        (fs::read_to_string(dir.file(MANIFEST)).unwrap(), fs::read(dir.file(PANELS)).unwrap());
    let header = 8 + u64::from_le_bytes(*panels.first_chunk().unwrap()) as usize;
    assert!(header.is_multiple_of(64));
    for length in [0, 7, 8, 9, header - 1, header, header + 1, panels.len() / 2, panels.len() - 1] {
        fs::write(dir.file(PANELS), &panels[..length]).unwrap();
        let error = ModelSource::open(dir.path()).unwrap_err();
        assert!(
            matches!(&error, ModelError::Truncated { found, .. } if *found == length as u64),
            "{length}: {error}"
        );
    }
    fs::remove_file(dir.file(PANELS)).unwrap();
    assert!(matches!(ModelSource::open(dir.path()), Err(ModelError::Io { .. })));

    // The same tensors four bytes further on.
    let mut shifted = ((header - 8 + 4) as u64).to_le_bytes().to_vec();
    shifted.extend_from_slice(&panels[8..header]);
    shifted.extend_from_slice(b"    ");
    shifted.extend_from_slice(&panels[header..]);
    fs::write(dir.file(PANELS), shifted).unwrap();
    let error = MiddlePart::load(&open(dir.path(), None), split()).unwrap_err().to_string();
    assert!(
        error.contains("multiple of 64 bytes; make the bundle again with `tricorn pack`"),
        "{error}"
    );
    fs::write(dir.file(PANELS), &panels).unwrap();

    let mut parsed: Value = serde_json::from_str(&manifest).unwrap();
    let name = "model.layers.2.mlp.down_proj.weight";
    for (field, value, named) in [
        ("outputs", Value::from(4800), "bytes of its shape and format"),
        ("inputs", Value::from(95), "bytes of its shape and format"),
        ("outputs", Value::from(u64::MAX), "bytes of its shape and format"),
        ("outputs", Value::from(47), "shape [47, 96]"),
        ("dtype", Value::from("Q4_0"), "bytes of its shape and format"),
        ("dtype", Value::from("Q9"), "Q9"),
    ] {
        let before = parsed["packed"]["panels"][name][field].take();
        parsed["packed"]["panels"][name][field] = value;
        fs::write(dir.file(MANIFEST), parsed.to_string()).unwrap();
        let opened =
            ModelSource::open(dir.path()).and_then(|source| MiddlePart::load(&source, split()));
        let error = opened.unwrap_err().to_string();
        assert!(error.contains(named), "{field}: {error}");
        parsed["packed"]["panels"][name][field] = before;
    }
    let matrices = parsed["packed"]["panels"].as_object_mut().unwrap();
    let matrix = matrices.remove(name).unwrap();
    matrices.insert("model.layers.2.mlp.own_proj.weight".to_owned(), matrix);
    fs::write(dir.file(MANIFEST), parsed.to_string()).unwrap();
    assert!(matches!(ModelSource::open(dir.path()), Err(ModelError::MissingTensor { .. })));

    fs::write(dir.file(MANIFEST), manifest.replace("\"layout\": 1", "\"layout\": 0")).unwrap();
    let error = ModelSource::open(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("packed in layout 0 and this program reads layout 1; make the bundle again"),
        "{error}"
    );
}
