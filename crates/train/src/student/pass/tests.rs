use serde_json::{Value, json};
use tricorn_kernels::KvFormat;
use tricorn_model::{Drafter, DrafterKind, KvPool, OutputPart};

use super::*;
use crate::{
    rng::Rng,
    testing::{SPLIT, TempDir, tiny_model, weights, written_drafter},
};

const ROWS: usize = 150;
const FIRST: usize = 3;
const HIDDEN: usize = 16;

fn noise(count: usize, stream: u64) -> Vec<f32> {
    let mut rng = Rng::new(5, stream);
    (0..count).map(|_| rng.normal()).collect()
}

fn lesson() -> Lesson {
    let (shallow, target) = (noise(ROWS * HIDDEN, 0), noise((ROWS - FIRST) * HIDDEN, 1));
    Lesson { tokens: vec![2; ROWS + 1], first: FIRST, shallow, target }
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= 2e-4 * b.abs().max(1.0), "{a} is not {b}, {what}");
    }
}

/// The rows that the drafter in use guesses in the round that starts at row `start`, on the
/// lesson's text: true rows up to there, then its own.
fn round(drafter: &Drafter, lesson: &Lesson, start: usize, drafts: usize) -> Vec<Vec<f32>> {
    let mut kv = drafter.new_kv(&KvPool::with_format(usize::MAX, KvFormat::F32), ROWS);
    let known = start - 1 - lesson.first;
    let previous =
        [vec![0.0; (lesson.first + 1) * HIDDEN], lesson.target[..known * HIDDEN].to_vec()].concat();
    drafter.extend(&mut kv, 0, &lesson.shallow[..start * HIDDEN], &previous).unwrap();
    let mut previous = lesson.target[known * HIDDEN..][..HIDDEN].to_vec();
    (start..start + drafts)
        .map(|pos| {
            previous = drafter
                .forward_at(&mut kv, pos, &lesson.shallow[pos * HIDDEN..][..HIDDEN], &previous)
                .unwrap();
            previous.clone()
        })
        .collect()
}

fn cases() -> [Value; 3] {
    [
        json!({}),
        json!({"rope_scaling": {"rope_type": "linear", "factor": 4.0}}),
        // Heads that do not divide the hidden width: the drafter's are narrower, and start random.
        json!({"head_dim": 12}),
    ]
}

#[test]
fn hat_equals_the_drafter_in_use() {
    for extra in cases() {
        let dir = TempDir::new();
        let source = tiny_model(&dir, &extra);
        let weights = weights(DrafterKind::Hat, &source);
        let drafter = written_drafter(&dir, &source, &weights);
        let shallow = lesson().shallow;
        let expected = drafter
            .forward_at(
                &mut drafter.new_kv(&KvPool::with_format(usize::MAX, KvFormat::F32), ROWS),
                0,
                &shallow,
                &[],
            )
            .unwrap();
        let (found, _) = HatPass::new(source.config(), &weights.attention).forward(&shallow, FIRST);
        assert_close(&found, &expected[FIRST * HIDDEN..], &extra.to_string());
    }
}

#[test]
fn fused_unrolls_as_the_drafter_in_use_drafts() {
    const STEPS: usize = 4;
    for extra in cases() {
        let dir = TempDir::new();
        let source = tiny_model(&dir, &extra);
        let weights = weights(DrafterKind::Fused, &source);
        let (drafter, lesson) = (written_drafter(&dir, &source, &weights), lesson());
        let block = weights.block.as_ref().unwrap();
        let trace =
            FusedPass::new(source.config(), &weights.attention, block, STEPS).forward(&lesson);
        let guesses: Vec<&[f32]> = trace.guesses().collect();
        assert_eq!(
            guesses.iter().map(|rows| rows.len() / HIDDEN).collect::<Vec<_>>(),
            [146, 145, 144, 143]
        );
        for row in [0, 1, 60, 127, 128, 142] {
            let rounds = round(&drafter, &lesson, FIRST + 1 + row, STEPS);
            for (step, expected) in rounds.iter().enumerate() {
                assert_close(
                    &guesses[step][row * HIDDEN..][..HIDDEN],
                    expected,
                    &format!("row {row}, step {step}, {extra}"),
                );
            }
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let dir = TempDir::new();
    let source = tiny_model(&dir, &json!({}));
    let output = OutputPart::load(&source, SPLIT).unwrap();
    let loss = Loss::new(&source, 0.7).unwrap();
    let lessons = [lesson()];
    for kind in DrafterKind::ALL {
        let of = |weights: &Tensors| {
            let pass = Pass::new(source.config(), weights, 3);
            pass.learn(&lessons[0], &pass.shares(&lessons), &loss, &output).unwrap()
        };
        let weights = weights(kind, &source);
        let (_, gradients) = of(&weights);
        for (tensor, gradient) in gradients.all().into_iter().enumerate() {
            let direction = noise(gradient.len(), 2 + tensor as u64);
            let moved = |by: f32| {
                let mut weights = weights.clone();
                weights.all_mut()[tensor]
                    .iter_mut()
                    .zip(&direction)
                    .for_each(|(w, d)| *w += by * d);
                loss.total(of(&weights).0)
            };
            let by = 3e-4;
            let measured = (moved(by) - moved(-by)) / (2.0 * f64::from(by));
            let computed: f64 =
                gradient.iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
            let size = gradient.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
            let name = kind.tensors(source.config())[tensor].0;
            assert!(
                (measured - computed).abs() < 0.01 * size,
                "{kind} {name}: {measured} measured, {computed} computed, size {size}"
            );
        }
    }
}

#[test]
fn a_response_too_short_to_unroll_has_fewer_steps() {
    let dir = TempDir::new();
    let source = tiny_model(&dir, &json!({}));
    let output = OutputPart::load(&source, SPLIT).unwrap();
    let loss = Loss::new(&source, 0.7).unwrap();
    let weights = weights(DrafterKind::Fused, &source);
    let pass = Pass::new(source.config(), &weights, 3);
    for (rows, learns) in [(1, false), (2, true), (3, true)] {
        let mut short = lesson();
        short.tokens.truncate(FIRST + rows + 1);
        short.shallow.truncate((FIRST + rows) * HIDDEN);
        short.target.truncate(rows * HIDDEN);
        let lessons = [short];
        let (losses, gradients) =
            pass.learn(&lessons[0], &pass.shares(&lessons), &loss, &output).unwrap();
        assert!(loss.total(losses).is_finite());
        assert_eq!(
            gradients.all().iter().any(|values| values.iter().any(|v| *v != 0.0)),
            learns,
            "{rows} rows"
        );
    }
}
