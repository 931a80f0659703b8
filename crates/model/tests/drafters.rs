//! Drafters beside a model: which is found, and what it computes.

use std::fs;

use crate::support::{Stored, TempDir, f32s, model_dir, write_tensors};
use serde_json::json;
use tricorn_core::Split;
use tricorn_model::{Drafter, DrafterInfo, DrafterKind, KvPool, ModelError, ModelSource, SeqRows};

const HIDDEN: usize = 4;
const SPLIT: Split = Split { input_layers: 1, output_layers: 0 };

fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Writes a drafter of random weights that claims so many tokens a round.
fn add_drafter(dir: &TempDir, kind: DrafterKind, split: Split, tokens_per_round: f64) {
    let source = ModelSource::open(dir.path()).unwrap();
    let tensors: Vec<Stored> = (1..)
        .zip(kind.tensors(source.config()))
        .map(|(seed, (name, shape))| f32s(name, &shape, &noise(shape.iter().product(), seed)))
        .collect();
    write_tensors(&dir.file(kind.weights_file()), &tensors);
    let info = json!({
        "kind": kind,
        "split": split.to_string(),
        "fingerprint": source.fingerprint().unwrap().to_hex(),
        "threshold": 0.5,
        "trained_tokens": 1,
        "tokens_per_round": tokens_per_round,
    });
    fs::write(dir.file(kind.info_file()), info.to_string()).unwrap();
}

fn load(dir: &TempDir, kind: Option<DrafterKind>) -> Result<Option<Drafter>, ModelError> {
    Drafter::load(&ModelSource::open(dir.path()).unwrap(), SPLIT, kind)
}

fn drafter(kind: DrafterKind) -> Drafter {
    let dir = model_dir();
    add_drafter(&dir, kind, SPLIT, 2.0);
    load(&dir, Some(kind)).unwrap().unwrap()
}

#[test]
fn the_kind_asked_for_is_loaded_or_missed() {
    let dir = model_dir();
    assert!(load(&dir, None).unwrap().is_none());
    let missing = load(&dir, Some(DrafterKind::Fused)).unwrap_err();
    assert!(matches!(missing, ModelError::NoDrafter { kind: DrafterKind::Fused }));
    assert!(missing.to_string().contains("tricorn distill --kind fused"), "{missing}");
    add_drafter(&dir, DrafterKind::Hat, SPLIT, 2.0);
    assert!(load(&dir, Some(DrafterKind::Fused)).is_err());
    add_drafter(&dir, DrafterKind::Fused, SPLIT, 1.0);
    for kind in DrafterKind::ALL {
        let drafter = load(&dir, Some(kind)).unwrap().unwrap();
        assert_eq!((drafter.kind(), drafter.reads_deep()), (kind, kind == DrafterKind::Fused));
    }
}

#[test]
fn with_no_kind_asked_for_the_one_with_the_most_tokens_a_round_is_loaded_if_it_fits() {
    let other = Split { input_layers: 2, output_layers: 0 };
    for (hat, fused, expected) in [
        ((SPLIT, 2.0), (SPLIT, 3.0), DrafterKind::Fused),
        ((SPLIT, 2.5), (SPLIT, 2.0), DrafterKind::Hat),
        ((SPLIT, 2.0), (other, 3.0), DrafterKind::Hat),
    ] {
        let dir = model_dir();
        add_drafter(&dir, DrafterKind::Hat, hat.0, hat.1);
        add_drafter(&dir, DrafterKind::Fused, fused.0, fused.1);
        assert_eq!(load(&dir, None).unwrap().unwrap().kind(), expected);
    }
    let dir = model_dir();
    add_drafter(&dir, DrafterKind::Fused, other, 3.0);
    assert!(matches!(load(&dir, None), Err(ModelError::WrongDrafter { .. })));
}

#[test]
fn drafts_cost_time_too() {
    let dir = model_dir();
    for (kind, tokens_per_round, speedup) in
        [(DrafterKind::Hat, 2.0, 1.5), (DrafterKind::Fused, 3.0, 1.4)]
    {
        add_drafter(&dir, kind, SPLIT, tokens_per_round);
        let path = dir.file(kind.info_file());
        let mut info: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        info["held_out"] = json!({"best": {"speedup": speedup}});
        fs::write(&path, info.to_string()).unwrap();
    }
    assert_eq!(load(&dir, None).unwrap().unwrap().kind(), DrafterKind::Hat);
}

#[test]
fn broken_files_are_named() {
    for kind in DrafterKind::ALL {
        let error = |spoil: &dyn Fn(&TempDir)| {
            let dir = model_dir();
            add_drafter(&dir, kind, SPLIT, 2.0);
            spoil(&dir);
            let error = load(&dir, Some(kind)).unwrap_err();
            assert_eq!(load(&dir, None).unwrap_err().to_string(), error.to_string());
            error.to_string()
        };
        let no_info = error(&|dir| fs::remove_file(dir.file(kind.info_file())).unwrap());
        assert!(
            no_info.contains(&format!(
                "{} is there and {} is not",
                kind.weights_file(),
                kind.info_file()
            )),
            "{no_info}"
        );
        let no_weights = error(&|dir| fs::remove_file(dir.file(kind.weights_file())).unwrap());
        assert!(
            no_weights.contains(&format!(
                "{} is there and {} is not",
                kind.info_file(),
                kind.weights_file()
            )),
            "{no_weights}"
        );
        let mixed = error(&|dir| {
            let text = fs::read_to_string(dir.file(kind.info_file())).unwrap();
            let other = DrafterKind::ALL.into_iter().find(|other| *other != kind).unwrap();
            let mut info: DrafterInfo = serde_json::from_str(&text).unwrap();
            info.kind = other;
            fs::write(dir.file(kind.info_file()), serde_json::to_vec(&info).unwrap()).unwrap();
        });
        assert!(mixed.contains("describes a drafter of kind"), "{mixed}");
    }
}

#[test]
fn a_ragged_batch_equals_its_sequences_and_any_cut_of_them() {
    let pool = KvPool::new(usize::MAX);
    for kind in DrafterKind::ALL {
        let drafter = drafter(kind);
        let sequences: Vec<(Vec<f32>, Vec<f32>)> = [(9, 1), (3, 2), (6, 3)]
            .map(|(rows, seed)| (noise(rows * HIDDEN, seed), noise(rows * HIDDEN, 10 + seed)))
            .to_vec();
        let alone: Vec<Vec<f32>> = sequences
            .iter()
            .map(|(shallow, previous)| {
                drafter.forward_at(&mut drafter.new_kv(&pool, 16), 0, shallow, previous).unwrap()
            })
            .collect();

        // Of each sequence the first rows are taken in alone and the others together.
        let held = [4, 0, 5];
        let mut caches: Vec<_> = sequences.iter().map(|_| drafter.new_kv(&pool, 16)).collect();
        let (mut shallow, mut previous, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        let mut batch = Vec::new();
        for (((kv, (x, d)), alone), held) in caches.iter_mut().zip(&sequences).zip(&alone).zip(held)
        {
            let at = held * HIDDEN;
            drafter.extend(kv, 0, &x[..at], &d[..at]).unwrap();
            shallow.extend_from_slice(&x[at..]);
            previous.extend_from_slice(&d[at..]);
            expected.extend_from_slice(&alone[at..]);
            batch.push(SeqRows { kv, pos: held, rows: x.len() / HIDDEN - held });
        }
        assert_eq!(drafter.forward(&mut batch, &shallow, &previous).unwrap(), expected, "{kind}");
    }
}

#[test]
fn only_fused_reads_the_previous_rows_and_none_are_zeros() {
    let pool = KvPool::new(usize::MAX);
    let (shallow, previous) = (noise(5 * HIDDEN, 1), noise(5 * HIDDEN, 2));
    for kind in DrafterKind::ALL {
        let drafter = drafter(kind);
        let guess = |previous: &[f32]| {
            drafter.forward_at(&mut drafter.new_kv(&pool, 16), 0, &shallow, previous).unwrap()
        };
        assert_eq!(guess(&[]), guess(&[0.0; 5 * HIDDEN]));
        assert_eq!(guess(&[]) != guess(&previous), drafter.reads_deep());
    }
}

#[test]
fn a_fork_drafts_as_its_origin_would() {
    let pool = KvPool::new(usize::MAX);
    let drafter = drafter(DrafterKind::Fused);
    let (shallow, previous) = (noise(10 * HIDDEN, 1), noise(10 * HIDDEN, 2));
    let (common, row) = (7 * HIDDEN, 7 * HIDDEN..8 * HIDDEN);
    let mut origin = drafter.new_kv(&pool, 16);
    drafter.extend(&mut origin, 0, &shallow[..common], &previous[..common]).unwrap();
    let mut forks = [origin.fork().unwrap(), origin.fork().unwrap()];
    let guess = |kv: &mut _, pos: usize| {
        drafter.forward_at(kv, pos, &shallow[row.clone()], &previous[row.clone()]).unwrap()
    };
    let expected = guess(&mut origin, 7);
    // The first fork goes another way before; the second is not touched by that.
    guess(&mut forks[0], 3);
    assert_eq!(guess(&mut forks[1], 7), expected);
    assert_ne!(guess(&mut forks[0], 4), expected);
}
