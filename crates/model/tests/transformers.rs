//! Numbers and greedy text agree with Hugging Face transformers on a tiny model of every family
//! (tools/make_fixtures.py).

use std::{path::PathBuf, sync::Arc};

use serde::Deserialize;
use tricorn_core::Split;
use tricorn_kernels::KvFormat;
use tricorn_model::{
    InputPart, KvCache, KvPool, MiddlePart, ModelError, ModelSource, OutputPart, SeqRows,
};

/// Of the row's largest absolute value, with exact KV caches.
const TOLERANCE: f32 = 1e-4;
/// The same for the formats of KV caches that round. These models' weights are random and their
/// attention sharp: a trained model's logits move by a tenth of that.
const ROUNDED: [(KvFormat, f32); 2] = [(KvFormat::F16, 2e-3), (KvFormat::Q8, 0.15)];
const SPLITS: [&str; 2] = ["1:0", "2:1"];
const CONTEXT: usize = 128;

#[derive(Deserialize)]
struct Expected {
    sequences: Vec<Sequence>,
}

#[derive(Deserialize)]
struct Sequence {
    name: String,
    text: String,
    ids: Vec<u32>,
    rows: Vec<Row>,
    greedy: Vec<u32>,
    greedy_text: String,
}

#[derive(Deserialize)]
struct Row {
    position: usize,
    logits: Vec<f32>,
}

struct Fixture {
    source: Arc<ModelSource>,
    expected: Expected,
}

impl Fixture {
    fn open(name: &str) -> Self {
        let dir =
            PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")).join(name);
        let expected =
            serde_json::from_slice(&std::fs::read(dir.join("expected.json")).unwrap()).unwrap();
        Self { source: Arc::new(ModelSource::open(&dir).unwrap()), expected }
    }

    fn parts(&self) -> impl Iterator<Item = Parts> {
        SPLITS.into_iter().map(|split| Parts::load(&self.source, split.parse().unwrap()))
    }
}

struct Parts {
    input: InputPart,
    middle: MiddlePart,
    output: OutputPart,
    split: Split,
}

struct Caches {
    input: KvCache,
    middle: KvCache,
    output: KvCache,
}

impl Parts {
    fn load(source: &Arc<ModelSource>, split: Split) -> Self {
        Self {
            input: InputPart::load(source, split).unwrap(),
            middle: MiddlePart::load(source, split).unwrap(),
            output: OutputPart::load(source, split).unwrap(),
            split,
        }
    }

    fn caches(&self) -> Caches {
        self.caches_in(KvFormat::F32)
    }

    fn caches_in(&self, format: KvFormat) -> Caches {
        let pool = KvPool::with_format(1 << 30, format);
        Caches {
            input: self.input.new_kv(&pool, CONTEXT),
            middle: self.middle.new_kv(&pool, CONTEXT),
            output: self.output.new_kv(&pool, CONTEXT),
        }
    }

    /// Logits of every row of `tokens`, which go on at `pos`.
    fn logits(&self, caches: &mut Caches, pos: usize, tokens: &[u32]) -> Vec<f32> {
        let mut rows = self.input.forward_at(&mut caches.input, pos, tokens).unwrap();
        self.middle
            .forward(&mut [SeqRows { kv: &mut caches.middle, pos, rows: tokens.len() }], &mut rows)
            .unwrap();
        self.output.forward_at(&mut caches.output, pos, &mut rows).unwrap();
        self.output.logits(&rows).unwrap()
    }
}

fn assert_close(logits: &[f32], expected: &[f32], what: &str) {
    assert_within(TOLERANCE, logits, expected, what);
}

fn assert_within(tolerance: f32, logits: &[f32], expected: &[f32], what: &str) {
    assert_eq!(logits.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0f32, |max, value| max.max(value.abs()));
    let worst = logits.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
    assert!(
        worst <= tolerance * scale,
        "{what}: off by {worst} where the largest logit is {scale}"
    );
}

fn argmax(logits: &[f32]) -> u32 {
    let best = logits
        .iter()
        .enumerate()
        .fold(0, |best, (i, value)| if *value > logits[best] { i } else { best });
    best as u32
}

fn check_logits(fixture: &Fixture) {
    let vocab = fixture.source.config().vocab;
    for parts in fixture.parts() {
        for sequence in &fixture.expected.sequences {
            let logits = parts.logits(&mut parts.caches(), 0, &sequence.ids);
            for row in &sequence.rows {
                let what = format!(
                    "split {}, {} sequence, position {}",
                    parts.split, sequence.name, row.position
                );
                assert_close(&logits[row.position * vocab..][..vocab], &row.logits, &what);
            }
        }
    }
}

/// KV caches that round change the logits by little.
fn check_kv_formats(fixture: &Fixture) {
    let vocab = fixture.source.config().vocab;
    for parts in fixture.parts() {
        for sequence in &fixture.expected.sequences {
            for (format, tolerance) in ROUNDED {
                let logits = parts.logits(&mut parts.caches_in(format), 0, &sequence.ids);
                for row in &sequence.rows {
                    let what = format!(
                        "{format}, split {}, {} sequence, position {}",
                        parts.split, sequence.name, row.position
                    );
                    assert_within(
                        tolerance,
                        &logits[row.position * vocab..][..vocab],
                        &row.logits,
                        &what,
                    );
                }
            }
        }
    }
}

/// Both sequences in one call to the middle, as the cloud runs its sessions.
fn check_ragged_batch(fixture: &Fixture) {
    let (vocab, hidden) = (fixture.source.config().vocab, fixture.source.config().hidden);
    for parts in fixture.parts() {
        let sequences = &fixture.expected.sequences;
        let mut caches: Vec<Caches> = sequences.iter().map(|_| parts.caches()).collect();
        let mut rows = Vec::new();
        for (sequence, caches) in sequences.iter().zip(&mut caches) {
            rows.extend(parts.input.forward_at(&mut caches.input, 0, &sequence.ids).unwrap());
        }
        let mut batch: Vec<SeqRows<'_>> = sequences
            .iter()
            .zip(&mut caches)
            .map(|(s, c)| SeqRows { kv: &mut c.middle, pos: 0, rows: s.ids.len() })
            .collect();
        parts.middle.forward(&mut batch, &mut rows).unwrap();

        let mut rest = rows.as_mut_slice();
        for (sequence, caches) in sequences.iter().zip(&mut caches) {
            let (own, others) = rest.split_at_mut(sequence.ids.len() * hidden);
            parts.output.forward_at(&mut caches.output, 0, own).unwrap();
            let logits = parts.output.logits(own).unwrap();
            for row in &sequence.rows {
                assert_close(
                    &logits[row.position * vocab..][..vocab],
                    &row.logits,
                    &format!("split {}, {}", parts.split, sequence.name),
                );
            }
            rest = others;
        }
    }
}

/// The middle cut once more, anywhere: the same bits, in whatever chunks the rows come.
fn check_stages(fixture: &Fixture) {
    let layers = fixture.source.config().layers;
    for parts in fixture.parts() {
        let middle = parts.split.ranges(layers).unwrap().middle;
        let tokens = &fixture.expected.sequences[0].ids;
        let mut caches = parts.caches();
        let shallow = parts.input.forward_at(&mut caches.input, 0, tokens).unwrap();
        let mut whole = shallow.clone();
        parts
            .middle
            .forward(
                &mut [SeqRows { kv: &mut caches.middle, pos: 0, rows: tokens.len() }],
                &mut whole,
            )
            .unwrap();
        for cut in middle.start + 1..middle.end {
            let pool = KvPool::with_format(1 << 30, KvFormat::F32);
            let load = |held| MiddlePart::load_layers(&fixture.source, parts.split, held).unwrap();
            let mut stages = [load(middle.start..cut), load(cut..middle.end)]
                .map(|part| (part.new_kv(&pool, CONTEXT), part));
            let (mut rows, chunk) = (shallow.clone(), 3);
            for (index, rows) in rows.chunks_mut(chunk * fixture.source.config().hidden).enumerate()
            {
                for (kv, part) in &mut stages {
                    part.forward(
                        &mut [SeqRows { kv, pos: index * chunk, rows: rows.len() / part.hidden() }],
                        rows,
                    )
                    .unwrap();
                }
            }
            assert!(
                rows.iter().zip(&whole).all(|(a, b)| a.to_bits() == b.to_bits()),
                "split {} cut at {cut}",
                parts.split
            );
        }
        let beyond =
            MiddlePart::load_layers(&fixture.source, parts.split, middle.start - 1..middle.end);
        assert!(matches!(beyond, Err(ModelError::Split(_))));
    }
}

fn check_greedy_text(fixture: &Fixture) {
    let vocab = fixture.source.config().vocab;
    let tokenizer = fixture.source.tokenizer().unwrap();
    for parts in fixture.parts() {
        for sequence in &fixture.expected.sequences {
            let mut caches = parts.caches();
            let prompt_logits = parts.logits(&mut caches, 0, &sequence.ids);
            let mut next = argmax(&prompt_logits[prompt_logits.len() - vocab..]);
            let mut generated = vec![next];
            let mut stream = tokenizer.stream_after(&sequence.ids).unwrap();
            let mut text = stream.push(next).unwrap();
            while generated.len() < sequence.greedy.len() {
                next = argmax(&parts.logits(
                    &mut caches,
                    sequence.ids.len() + generated.len() - 1,
                    &[next],
                ));
                generated.push(next);
                text += &stream.push(next).unwrap();
            }
            text += &stream.flush().unwrap();
            assert_eq!(
                generated, sequence.greedy,
                "split {}, {} sequence",
                parts.split, sequence.name
            );
            assert_eq!(text, sequence.greedy_text);
        }
    }
}

fn check_tokenizer(fixture: &Fixture) {
    let tokenizer = fixture.source.tokenizer().unwrap();
    for sequence in &fixture.expected.sequences {
        assert_eq!(tokenizer.decode(&sequence.ids).unwrap(), sequence.text);
        assert_eq!(tokenizer.encode(&sequence.text, false).unwrap(), sequence.ids);
    }
}

macro_rules! families {
    ($($module:ident: $directory:literal),* $(,)?) => {
        $(mod $module {
            use super::*;

            #[test]
            fn logits() {
                check_logits(&Fixture::open($directory));
            }

            #[test]
            fn kv_formats() {
                check_kv_formats(&Fixture::open($directory));
            }

            #[test]
            fn ragged_batch() {
                check_ragged_batch(&Fixture::open($directory));
            }

            #[test]
            fn stages() {
                check_stages(&Fixture::open($directory));
            }

            #[test]
            fn greedy_text() {
                check_greedy_text(&Fixture::open($directory));
            }

            #[test]
            fn tokens() {
                check_tokenizer(&Fixture::open($directory));
            }
        })*
    };
}

families! {
    llama: "llama",
    llama_rope3: "llama-rope3",
    mistral: "mistral",
    qwen2: "qwen2",
    qwen3: "qwen3",
}
