//! Models whose layers differ in heads, head width and FFN width, or lack a block: they compute
//! what the textbook says, in every split, chunking and format, and can be observed.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use tricorn_core::Split;
use tricorn_kernels::KvFormat;
use tricorn_model::{
    Activation, DecoderLayers, InputPart, KvPool, LayerShape, MiddlePart, ModelConfig, ModelSource,
    OutputPart, SeqRows,
    pack::{pack, pack_whole},
    parts::embed,
    quant::Quant,
};

use crate::support::{
    TempDir,
    gguf::{GgufFile, f32_bytes},
    uneven::{HIDDEN, SHAPES, Uneven, shape},
};

const FAMILIES: [&str; 2] = ["LlamaForCausalLM", "Qwen3ForCausalLM"];
const CONTEXT: usize = 128;
/// Of the largest absolute value.
const TOLERANCE: f64 = 1e-4;

/// Tokens of a sequence that is longer than a block of a KV cache.
fn tokens() -> Vec<u32> {
    (0..70).map(|n| (n * n * 7 + 3) % 48).collect()
}

/// Logits of all rows, computed in chunks of these lengths.
fn logits(source: ModelSource, split: &str, format: KvFormat, chunks: &[usize]) -> Vec<f32> {
    let (source, split) = (Arc::new(source), split.parse::<Split>().unwrap());
    let input = InputPart::load(&source, split).unwrap();
    let middle = MiddlePart::load(&source, split).unwrap();
    let output = OutputPart::load(&source, split).unwrap();
    let pool = KvPool::with_format(usize::MAX, format);
    let mut caches = [
        input.new_kv(&pool, CONTEXT),
        middle.new_kv(&pool, CONTEXT),
        output.new_kv(&pool, CONTEXT),
    ];
    let (tokens, mut pos, mut logits) = (tokens(), 0, Vec::new());
    for &rows in chunks {
        let [first, second, third] = &mut caches;
        let mut x = input.forward_at(first, pos, &tokens[pos..pos + rows]).unwrap();
        middle.forward(&mut [SeqRows { kv: second, pos, rows }], &mut x).unwrap();
        output.forward_at(third, pos, &mut x).unwrap();
        logits.extend(output.logits(&x).unwrap());
        pos += rows;
    }
    let layers = source.config().block_layout(0..source.config().layers);
    assert_eq!(pool.used_bytes(), format.bytes(pos, layers.layers()));
    logits
}

fn open(dir: &Path) -> ModelSource {
    ModelSource::open(dir).unwrap()
}

fn close(found: &[f32], expected: &[f64]) -> bool {
    let scale = expected.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, expected)| (f64::from(*found) - expected).abs() <= TOLERANCE * scale)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn logits_are_those_of_the_textbook_wherever_the_model_is_cut() {
    for family in FAMILIES {
        let model = Uneven::new(family, &SHAPES);
        let (_, expected) = model.textbook(&tokens());
        for split in ["1:0", "2:1", "3:2", "4:1"] {
            let found = logits(open(model.dir.path()), split, KvFormat::F32, &[70]);
            assert!(close(&found, &expected), "{family} {split}");
        }
    }
}

#[test]
fn chunks_and_parts_do_not_change_a_bit_in_any_format() {
    for family in FAMILIES {
        let model = Uneven::new(family, &SHAPES);
        for format in KvFormat::ALL {
            let whole = logits(open(model.dir.path()), "1:0", format, &[70]);
            for (split, chunks) in
                [("3:2", &[3, 64, 1, 2][..]), ("2:1", &[1; 70]), ("4:1", &[69, 1])]
            {
                let found = logits(open(model.dir.path()), split, format, chunks);
                assert_eq!(bits(&found), bits(&whole), "{family} {format} {split}");
            }
        }
    }
}

#[test]
fn quantised_and_packed_they_compute_the_same() {
    let model = Uneven::new(FAMILIES[0], &SHAPES);
    for quant in [Quant::Q8, Quant::F32] {
        let quantised = || open(model.dir.path()).quantised(Some(quant)).unwrap();
        let expected = logits(quantised(), "2:1", KvFormat::F16, &[70]);
        let out = TempDir::new();
        pack_whole(&quantised(), &out.file("whole")).unwrap();
        let packed = open(&out.file("whole"));
        assert_eq!(packed.fingerprint().unwrap(), quantised().fingerprint().unwrap());
        assert_eq!(bits(&logits(packed, "2:1", KvFormat::F16, &[70])), bits(&expected));
        let split: Split = "2:1".parse().unwrap();
        let parts = pack(&quantised(), split, &out.file("parts")).unwrap();
        let start = embed(&open(model.dir.path()), &tokens()).unwrap();
        let [packed, loaded] = [open(&parts.cloud), quantised()].map(|source| {
            let middle = MiddlePart::load(&source, split).unwrap();
            let mut kv = middle.new_kv(&KvPool::new(usize::MAX), CONTEXT);
            let (mut x, rows) = (start.clone(), tokens().len());
            middle.forward(&mut [SeqRows { kv: &mut kv, pos: 0, rows }], &mut x).unwrap();
            bits(&x)
        });
        assert_eq!(packed, loaded);
    }
}

#[test]
fn a_gguf_file_states_the_shapes_in_arrays() {
    let shapes = [shape(4, 2, 8, 64), shape(2, 1, 8, 40), shape(0, 0, 0, 32), shape(3, 3, 8, 0)];
    let model = Uneven::new("Qwen3ForCausalLM", &shapes);
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/qwen3");
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(fixture.join(name), model.dir.file(name)).unwrap();
    }
    let path = model.dir.file("model.gguf");
    GgufFile::from_directory(model.dir.path(), tricorn_kernels::Dtype::F32, f32_bytes).write(&path);
    let file = open(&path);
    assert_eq!(file.config().shapes(), shapes);
    let expected = logits(open(model.dir.path()), "1:1", KvFormat::F32, &[70]);
    assert_eq!(bits(&logits(file, "1:1", KvFormat::F32, &[70])), bits(&expected));
}

#[test]
fn an_observer_sees_what_the_textbook_computes_and_changes_no_bit() {
    for family in FAMILIES {
        let model = Uneven::new(family, &SHAPES);
        let (expected, _) = model.textbook(&tokens());
        let source = open(model.dir.path());
        let layers = DecoderLayers::load(&source, 0..SHAPES.len()).unwrap();
        let pool = KvPool::with_format(usize::MAX, KvFormat::F32);
        let start = embed(&source, &tokens()).unwrap();
        let mut plain = start.clone();
        let mut kv = layers.new_kv(&pool, CONTEXT);
        let rows = tokens().len();
        layers.forward(&mut [SeqRows { kv: &mut kv, pos: 0, rows }], &mut plain).unwrap();

        let mut seen: BTreeMap<(usize, Activation), Vec<f32>> = BTreeMap::new();
        let mut order = Vec::new();
        let mut observer = |layer: usize, activation, values: &[f32], width: usize| {
            let LayerShape { intermediate, .. } = SHAPES[layer];
            let expected = match activation {
                Activation::HeadOutputs => SHAPES[layer].query_width(),
                Activation::Inner => intermediate,
                _ => HIDDEN,
            };
            assert_eq!(width, expected);
            order.push((layer, activation));
            seen.entry((layer, activation)).or_default().extend(values);
        };
        // Two calls: rows are seen as they come.
        let mut observed = start;
        let mut kv = layers.new_kv(&pool, CONTEXT);
        let (first, second) = observed.split_at_mut(50 * HIDDEN);
        for (pos, x) in [(0, first), (50, second)] {
            let rows = x.len() / HIDDEN;
            let batch = &mut [SeqRows { kv: &mut kv, pos, rows }];
            layers.forward_observed(batch, x, &mut observer).unwrap();
        }
        assert_eq!(bits(&observed), bits(&plain), "{family}");
        assert!(order[..order.len() / 2].is_sorted() && order.len() == 2 * expected.len());
        assert_eq!(seen.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (place, values) in &seen {
            assert!(close(values, &expected[place]), "{family} {place:?}");
        }
    }
}

#[test]
fn layers_loaded_one_at_a_time_are_the_whole() {
    let model = Uneven::new(FAMILIES[1], &SHAPES);
    let source = open(model.dir.path());
    let pool = KvPool::new(usize::MAX);
    let start = embed(&source, &tokens()).unwrap();
    let run = |ranges: &[std::ops::Range<usize>]| {
        let mut x = start.clone();
        for range in ranges {
            let layers = DecoderLayers::load(&source, range.clone()).unwrap();
            let mut kv = layers.new_kv(&pool, CONTEXT);
            let rows = x.len() / layers.hidden();
            layers.forward(&mut [SeqRows { kv: &mut kv, pos: 0, rows }], &mut x).unwrap();
        }
        x
    };
    let whole = run(std::slice::from_ref(&(0..6)));
    assert_eq!(bits(&run(&[0..1, 1..2, 2..3, 3..4, 4..5, 5..6])), bits(&whole));
    assert_eq!(bits(&run(&[0..4, 4..6])), bits(&whole));
    let error = DecoderLayers::load(&source, 4..7).unwrap_err().to_string();
    assert!(error.contains("num_hidden_layers is 6; layers 4..7 were asked for"), "{error}");
}

#[test]
fn other_shapes_are_another_model() {
    let print = |shapes: &[LayerShape]| {
        open(Uneven::new(FAMILIES[0], shapes).dir.path()).fingerprint().unwrap()
    };
    let mut other = SHAPES;
    other.swap(0, 1);
    assert_ne!(print(&SHAPES), print(&other));
}

/// Bundles and drafters hold the fingerprints of ordinary models.
#[test]
fn the_fingerprint_of_equal_layers_is_what_it_always_was() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo");
    let source = open(&demo);
    let shapes = |config: &ModelConfig| config.even_shape().is_some();
    assert!(shapes(source.config()));
    assert_eq!(source.fingerprint().unwrap().to_hex(), DEMO);
}

const DEMO: &str = "57f0961086fe4e96e4ac6e50ea75ee0c796411fd9ae6a57fa1513067813436fe";
