//! A model on candle computes what it computes on our own kernels: on candle's processor device, so
//! that no GPU is needed, or on the one that TRICORN_TEST_DEVICE names.

use std::{path::PathBuf, sync::Arc};

use tricorn_core::Split;
use tricorn_kernels::KvFormat;
use tricorn_model::{
    ComputeDevice, InputPart, KvCache, KvError, KvPool, MiddlePart, ModelError, ModelSource,
    OutputPart, SeqRows, quant::Quant,
};

use crate::support::uneven::{SHAPES, Uneven};

/// Of the row's largest absolute value.
const TOLERANCE: f32 = 1e-4;
const CONTEXT: usize = 256;

fn open(dir: &str, device: ComputeDevice, quant: Quant) -> Arc<ModelSource> {
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(dir);
    Arc::new(ModelSource::open(&dir).unwrap().quantised(Some(quant)).unwrap().on(device).unwrap())
}

fn accelerator() -> ComputeDevice {
    std::env::var("TRICORN_TEST_DEVICE")
        .map_or(ComputeDevice::CandleCpu, |name| name.parse().unwrap())
}

struct Model {
    input: InputPart,
    middle: MiddlePart,
    output: OutputPart,
    hidden: usize,
    vocab: usize,
}

struct Caches {
    input: KvCache,
    middle: KvCache,
    output: KvCache,
    pool: Arc<KvPool>,
}

impl Caches {
    fn fork(&self) -> Self {
        let [input, middle, output] =
            [&self.input, &self.middle, &self.output].map(|kv| kv.fork().unwrap());
        Self { input, middle, output, pool: Arc::clone(&self.pool) }
    }
}

impl Model {
    fn load(dir: &str, device: ComputeDevice) -> Self {
        // In single precision, since a GPU multiplies halves as such.
        Self::quantised(dir, device, Quant::F32)
    }

    fn quantised(dir: &str, device: ComputeDevice, quant: Quant) -> Self {
        let source = open(dir, device, quant);
        assert_eq!(source.device(), device);
        let split: Split = "1:1".parse().unwrap();
        Self {
            input: InputPart::load(&source, split).unwrap(),
            middle: MiddlePart::load(&source, split).unwrap(),
            output: OutputPart::load(&source, split).unwrap(),
            hidden: source.config().hidden,
            vocab: source.config().vocab,
        }
    }

    /// On our kernels, and on candle's.
    fn both(dir: &str) -> [Self; 2] {
        [ComputeDevice::Cpu, accelerator()].map(|device| Self::load(dir, device))
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
            pool,
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

    fn greedy(&self, prompt: &[u32], count: usize) -> Vec<u32> {
        let mut caches = self.caches();
        let mut tokens = prompt.to_vec();
        let mut logits = self.logits(&mut caches, 0, prompt);
        for _ in 0..count {
            tokens.push(argmax(&logits[logits.len() - self.vocab..]));
            logits = self.logits(&mut caches, tokens.len() - 1, &tokens[tokens.len() - 1..]);
        }
        tokens
    }

    fn assert_close(&self, logits: &[f32], expected: &[f32], what: &str) {
        self.assert_within(TOLERANCE, logits, expected, what);
    }

    fn assert_within(&self, tolerance: f32, logits: &[f32], expected: &[f32], what: &str) {
        assert_eq!(logits.len(), expected.len(), "{what}");
        for (row, (logits, expected)) in
            logits.chunks_exact(self.vocab).zip(expected.chunks_exact(self.vocab)).enumerate()
        {
            let scale = expected.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
            let worst =
                logits.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
            assert!(
                worst <= tolerance * scale,
                "{what}, row {row}: off by {worst} where the largest logit is {scale}"
            );
        }
    }
}

fn argmax(logits: &[f32]) -> u32 {
    logits
        .iter()
        .enumerate()
        .fold(0, |best, (i, value)| if *value > logits[best] { i } else { best }) as u32
}

/// Some text of a small vocabulary.
fn tokens(count: usize, seed: u32) -> Vec<u32> {
    (0..count as u32).map(|i| 3 + (i * i * 7 + i * 31 + seed * 101) % 250).collect()
}

fn check_logits(dir: &str) {
    let [ours, theirs] = Model::both(dir);
    let tokens = tokens(90, 1);
    let expected = ours.logits(&mut ours.caches(), 0, &tokens);
    theirs.assert_close(&theirs.logits(&mut theirs.caches(), 0, &tokens), &expected, "whole");
    for chunk in [1, 7, 64] {
        let (mut caches, mut logits) = (theirs.caches(), Vec::new());
        for (index, tokens) in tokens.chunks(chunk).enumerate() {
            logits.extend(theirs.logits(&mut caches, index * chunk, tokens));
        }
        theirs.assert_close(&logits, &expected, &format!("chunks of {chunk}"));
    }
}

/// Rows below a cache's end take the place of what was there.
fn check_rollback(dir: &str) {
    let [ours, theirs] = Model::both(dir);
    let (first, second) = (tokens(80, 1), tokens(20, 2));
    let mut caches = theirs.caches();
    theirs.logits(&mut caches, 0, &first);
    for kept in [70, 64, 3, 0] {
        let found = theirs.logits(&mut caches, kept, &second);
        let mut whole = first[..kept].to_vec();
        whole.extend(&second);
        let expected = ours.logits(&mut ours.caches(), 0, &whole);
        theirs.assert_close(
            &found,
            &expected[kept * ours.vocab..],
            &format!("after {kept} positions"),
        );
        assert_eq!(caches.middle.len(), whole.len());
    }
}

/// Forks share their past and nothing else, whoever writes first.
fn check_forks(dir: &str) {
    let [ours, theirs] = Model::both(dir);
    let (past, one, two) = (tokens(66, 1), tokens(5, 2), tokens(9, 3));
    let mut origin = theirs.caches();
    theirs.logits(&mut origin, 0, &past);
    let used = origin.pool.used_bytes();
    let mut fork = origin.fork();
    assert_eq!(origin.pool.used_bytes(), used, "nothing is copied before somebody writes");
    let (by_fork, by_origin) =
        (theirs.logits(&mut fork, past.len(), &one), theirs.logits(&mut origin, past.len(), &two));
    assert!(origin.pool.used_bytes() > used);
    for (tail, found) in [(&one, &by_fork), (&two, &by_origin)] {
        let whole = [past.as_slice(), tail].concat();
        let expected = ours.logits(&mut ours.caches(), 0, &whole);
        theirs.assert_close(
            found,
            &expected[past.len() * ours.vocab..],
            &format!("{} rows more", tail.len()),
        );
    }
    let pool = Arc::clone(&origin.pool);
    drop((origin, fork));
    assert_eq!(pool.used_bytes(), 0);
}

/// Sequences of different lengths at different positions in one call, one of them without rows.
fn check_ragged_batch(dir: &str) {
    let [ours, theirs] = Model::both(dir);
    let texts = [(tokens(50, 1), 20), (tokens(7, 2), 0), (tokens(30, 3), 30), (tokens(34, 4), 33)];
    let run = |model: &Model, together: bool| {
        let mut caches: Vec<KvCache> = texts
            .iter()
            .map(|_| model.middle.new_kv(&KvPool::with_format(1 << 30, KvFormat::F32), CONTEXT))
            .collect();
        let mut rest = Vec::new();
        for ((text, held), kv) in texts.iter().zip(&mut caches) {
            let mut rows = model.input.forward_at(&mut model.caches().input, 0, text).unwrap();
            let later = rows.split_off(held * model.hidden);
            model.middle.forward(&mut [SeqRows { kv, pos: 0, rows: *held }], &mut rows).unwrap();
            rest.push(later);
        }
        let mut batch: Vec<SeqRows<'_>> = texts
            .iter()
            .zip(&mut caches)
            .map(|((text, held), kv)| SeqRows { kv, pos: *held, rows: text.len() - held })
            .collect();
        if together {
            let mut x = rest.concat();
            model.middle.forward(&mut batch, &mut x).unwrap();
            model.output.logits(&x).unwrap()
        } else {
            let alone = batch.iter_mut().zip(&mut rest).flat_map(|(seq, x)| {
                let SeqRows { pos, rows, ref mut kv } = *seq;
                model.middle.forward(&mut [SeqRows { kv, pos, rows }], x).unwrap();
                model.output.logits(x).unwrap()
            });
            alone.collect()
        }
    };
    theirs.assert_close(&run(&theirs, true), &run(&ours, false), "ragged batch");
}

fn check_greedy_text(dir: &str) {
    let [ours, theirs] = Model::both(dir);
    for seed in [1, 2] {
        let prompt = tokens(40, seed);
        assert_eq!(theirs.greedy(&prompt, 48), ours.greedy(&prompt, 48));
    }
}

macro_rules! families {
    ($($module:ident: $directory:literal),* $(,)?) => {
        $(mod $module {
            const DIRECTORY: &str = concat!("tests/fixtures/", $directory);

            #[test]
            fn logits() {
                super::check_logits(DIRECTORY);
            }

            #[test]
            fn rollback() {
                super::check_rollback(DIRECTORY);
            }

            #[test]
            fn forks() {
                super::check_forks(DIRECTORY);
            }

            #[test]
            fn ragged_batch() {
                super::check_ragged_batch(DIRECTORY);
            }

            #[test]
            fn greedy_text() {
                super::check_greedy_text(DIRECTORY);
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

#[test]
fn the_demo_writes_the_same_text() {
    let [ours, theirs] = Model::both("models/demo");
    let prompt = open("models/demo", ComputeDevice::Cpu, Quant::F32)
        .tokenizer()
        .unwrap()
        .encode("Once upon a time", true)
        .unwrap();
    assert_eq!(theirs.greedy(&prompt, 60), ours.greedy(&prompt, 60));
}

/// Of the largest logit of its row, how far any is off.
fn off(logits: &[f32], expected: &[f32], vocab: usize) -> f32 {
    let rows = logits.chunks_exact(vocab).zip(expected.chunks_exact(vocab));
    rows.map(|(logits, expected)| {
        let scale = expected.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
        logits.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max) / scale
    })
    .fold(0.0, f32::max)
}

/// candle rounds what it multiplies quantised weights by in another way than we do: both are to be
/// about as far from single precision.
#[test]
fn quantised_weights_stay_quantised() {
    let load = |device, quant| Model::quantised("models/demo", device, quant);
    let tokens = tokens(40, 1);
    let exact = load(ComputeDevice::Cpu, Quant::F32);
    let expected = exact.logits(&mut exact.caches(), 0, &tokens);
    let mut bytes = usize::MAX;
    for quant in [Quant::F32, Quant::Q8, Quant::Q4K] {
        let [(ours, _), (theirs, held)] = [ComputeDevice::Cpu, accelerator()].map(|device| {
            let model = load(device, quant);
            let logits = model.logits(&mut model.caches(), 0, &tokens);
            (off(&logits, &expected, model.vocab), model.middle.bytes() + model.output.bytes())
        });
        assert!(theirs <= 3.0 * ours + TOLERANCE, "{quant}: off by {theirs}, ours by {ours}");
        assert!(held < bytes, "{quant}: {held} bytes");
        bytes = held;
    }
}

#[test]
fn caches_in_halves_take_half_and_change_little() {
    let [ours, theirs] = Model::both("tests/fixtures/llama");
    let tokens = tokens(90, 1);
    let mut caches = [KvFormat::F32, KvFormat::F16].map(|format| theirs.caches_in(format));
    let [exact, rounded] = caches.each_mut().map(|caches| theirs.logits(caches, 0, &tokens));
    assert_ne!(exact, rounded);
    theirs.assert_within(
        10.0 * TOLERANCE,
        &rounded,
        &ours.logits(&mut ours.caches_in(KvFormat::F16), 0, &tokens),
        "f16",
    );
    let [exact, rounded] = caches.map(|caches| caches.pool.used_bytes());
    assert_eq!(exact, 2 * rounded);
    let mut kv = theirs.input.new_kv(&KvPool::with_format(1 << 30, KvFormat::Q8), CONTEXT);
    let refused = theirs.input.forward_at(&mut kv, 0, &tokens);
    assert!(
        matches!(refused, Err(ModelError::Kv(KvError::DeviceFormat { format: KvFormat::Q8 }))),
        "{refused:?}"
    );
}

#[test]
fn a_full_pool_ends_one_sequence_and_changes_nothing() {
    let model = Model::load("tests/fixtures/llama", accelerator());
    let tokens = tokens(65, 1);
    let pool = KvPool::with_format(1 << 30, KvFormat::F32);
    let mut kv = model.input.new_kv(&pool, CONTEXT);
    let first = model.input.forward_at(&mut kv, 0, &tokens[..64]).unwrap();
    let pool = KvPool::with_format(pool.used_bytes(), KvFormat::F32);
    let mut kv = model.input.new_kv(&pool, CONTEXT);
    assert_eq!(model.input.forward_at(&mut kv, 0, &tokens[..64]).unwrap(), first);
    let full = model.input.forward_at(&mut kv, 64, &tokens[64..]);
    assert!(matches!(full, Err(ModelError::Kv(KvError::Exhausted { .. }))), "{full:?}");
    assert_eq!(kv.len(), 64);
    let gap = model.input.forward_at(&mut kv, 65, &tokens[64..]);
    assert!(matches!(gap, Err(ModelError::Kv(KvError::Gap { pos: 65, len: 64 }))), "{gap:?}");
    model.input.forward_at(&mut kv, 63, &tokens[63..64]).unwrap();
    kv.prepare(0, 0).unwrap();
    assert_eq!((kv.len(), pool.used_bytes()), (0, 0));
}

#[test]
fn layers_that_differ_compute_what_they_do_on_the_processor() {
    for family in ["LlamaForCausalLM", "Qwen3ForCausalLM"] {
        let model = Uneven::new(family, &SHAPES);
        let dir = model.dir.path().to_str().unwrap();
        check_logits(dir);
        check_rollback(dir);
        check_forks(dir);
    }
}
