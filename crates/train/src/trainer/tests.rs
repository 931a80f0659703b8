use std::sync::Mutex;

use serde_json::json;
use tricorn_core::Split;
use tricorn_model::{Drafter, DrafterKind, KvPool};

use super::*;
use crate::testing::{SPLIT, TempDir, tiny_config, tiny_model};

fn run(source: &Arc<ModelSource>, config: &DistillConfig) -> Result<Outcome, TrainError> {
    distill(source, config, &AtomicBool::new(false), &mut |_| {})
}

fn error(change: impl FnOnce(&TempDir, &mut DistillConfig)) -> String {
    let dir = TempDir::new();
    let source = tiny_model(&dir, &json!({}));
    let mut config = tiny_config(&dir);
    change(&dir, &mut config);
    run(&source, &config).unwrap_err().to_string()
}

#[test]
fn the_loss_falls_and_the_drafter_loads() {
    DrafterKind::ALL.into_iter().for_each(the_loss_falls);
}

fn the_loss_falls(kind: DrafterKind) {
    let dir = TempDir::new();
    let source = tiny_model(&dir, &json!({}));
    let mut config = tiny_config(&dir);
    config.kind = kind;
    config.budget.steps = Some(60);
    config.learning_rate = 0.01;
    let mut losses = Vec::new();
    let outcome = distill(&source, &config, &AtomicBool::new(false), &mut |event| {
        if let Event::Step(step) = event {
            losses.push(step.loss);
        }
    })
    .unwrap();
    assert_eq!((outcome.end, outcome.steps, losses.len()), (End::Budget, 60, 60));
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(mean(&losses[50..]) < 0.9 * mean(&losses[..10]), "{losses:?}");
    let report = outcome.report.unwrap();
    assert_eq!((report.curve.len(), report.prompts), (10, 3));
    assert_eq!(outcome.history.points[0].tokens, 0);
    assert!(outcome.history.points.len() > 3);

    for name in [kind.weights_file(), kind.info_file()] {
        fs::copy(config.out.join(name), dir.file(name)).unwrap();
    }
    let drafter = Drafter::load(&source, SPLIT, Some(kind)).unwrap().unwrap();
    assert_eq!(drafter.info().trained_tokens, outcome.tokens);
    assert_eq!(drafter.info().threshold, report.best.threshold);
    assert!(drafter.info().measured.contains_key("held_out"));
    let again = crate::measure(
        &source,
        &drafter,
        SPLIT,
        &config.valid,
        &config.held_out,
        &AtomicBool::new(false),
    )
    .unwrap();
    let rates = |report: &HeldOutReport| {
        report.curve.iter().map(|p| (p.tokens_per_round, p.drafted_per_round)).collect::<Vec<_>>()
    };
    assert_eq!(rates(&again), rates(&report));
    drafter
        .forward_at(&mut drafter.new_kv(&KvPool::new(usize::MAX), 4), 0, &[0.5; 32], &[])
        .unwrap();
    assert!(fs::read_to_string(config.out.join("history.svg")).unwrap().contains("<circle"));
}

#[test]
fn a_resumed_run_equals_one_that_went_through() {
    for (kind, own_text) in
        [(DrafterKind::Hat, 0.0), (DrafterKind::Hat, 0.5), (DrafterKind::Fused, 0.5)]
    {
        let dir = TempDir::new();
        let source = tiny_model(&dir, &json!({}));
        let mut config = tiny_config(&dir);
        (config.kind, config.own_text) = (kind, own_text);
        config.earlier_tokens = if own_text > 0.0 { 9 } else { 0 };
        let losses = Mutex::new(Vec::new());
        let run = |config: &DistillConfig, stop_at: u64| {
            let stop = AtomicBool::new(false);
            distill(&source, config, &stop, &mut |event| {
                if let Event::Step(step) = event {
                    losses.lock().unwrap().push(step.loss.to_bits());
                    stop.store(step.step == stop_at, Ordering::Relaxed);
                }
            })
            .unwrap()
        };
        let whole = run(&config, u64::MAX);
        let expected = std::mem::take(&mut *losses.lock().unwrap());
        let drafter = fs::read(config.out.join(kind.weights_file())).unwrap();

        config.out = dir.file("again");
        assert_eq!(run(&config, 2).end, End::Stopped);
        config.resume = true;
        assert_eq!(run(&config, 5).steps, 5);
        let resumed = run(&config, u64::MAX);
        assert_eq!(*losses.lock().unwrap(), expected);
        assert_eq!(fs::read(config.out.join(kind.weights_file())).unwrap(), drafter);
        assert_eq!(resumed.tokens, whole.tokens);
        let rates = |outcome: &Outcome| {
            outcome.history.points.iter().map(|p| p.tokens_per_round.to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(rates(&resumed), rates(&whole));
    }
}

#[test]
fn kept_lessons_change_nothing() {
    let dir = TempDir::new();
    let source = tiny_model(&dir, &json!({}));
    let mut config = tiny_config(&dir);
    // Three epochs of the forty texts.
    (config.budget.steps, config.own_text) = (Some(20), 0.5);
    let drafters = [0, usize::MAX].map(|bytes| {
        config.lesson_memory = bytes;
        config.out = dir.file(&format!("out-{bytes}"));
        let tokens = run(&source, &config).unwrap().tokens;
        (tokens, fs::read(config.out.join(DrafterKind::Hat.weights_file())).unwrap())
    });
    assert_eq!(drafters[0], drafters[1]);
}

#[test]
fn goes_on_from_another_drafter() {
    let dir = TempDir::new();
    let source = tiny_model(&dir, &json!({}));
    let mut config = tiny_config(&dir);
    config.learning_rate = 0.01;
    let first = run(&source, &config).unwrap();
    (config.from, config.out) = (Some(config.out), dir.file("second"));
    let second = run(&source, &config).unwrap();
    let (end, start) = (first.history.points.last().unwrap(), second.history.points[0]);
    assert_eq!((start.tokens, start.tokens_per_round), (0, end.tokens_per_round));

    config.kind = DrafterKind::Fused;
    config.out = dir.file("third");
    let other_kind = run(&source, &config).unwrap_err().to_string();
    assert!(
        other_kind.contains("cannot read") && other_kind.contains("drafter-fused"),
        "{other_kind}"
    );
}

#[test]
fn half_of_the_texts_come_after_others() {
    let dir = TempDir::new();
    let source = tiny_model(&dir, &json!({}));
    let mut config = tiny_config(&dir);
    let lessons = |config: &DistillConfig| {
        let (dataset, renderer) =
            (Dataset::read(&config.data).unwrap(), Renderer::new(&source).unwrap());
        let teacher = Teacher::load(&source, config.split).unwrap();
        let parts = FeedParts { teacher: &teacher, renderer: &renderer, dataset: &dataset, config };
        thread::scope(|scope| Feed::start(scope, parts, 0).batch(600).unwrap())
    };
    (config.own_text, config.context) = (0.5, 200);
    let alone = lessons(&config);
    config.earlier_tokens = 100;
    let after = lessons(&config);
    let mut moved = 0;
    for (alone, after) in alone.iter().zip(&after) {
        let before = after.first - alone.first;
        assert!(before <= 100);
        // The prompt is the same; the model may write something else after other texts.
        let prompt = alone.first + 1;
        assert_eq!(after.tokens[before..before + prompt], alone.tokens[..prompt]);
        moved += usize::from(before > 0);
    }
    let compared = alone.len().min(after.len());
    assert!(moved > compared / 4 && moved < compared, "{moved} of {compared}");
}

#[test]
fn stops_when_flat() {
    let dir = TempDir::new();
    let source = tiny_model(&dir, &json!({}));
    let mut config = tiny_config(&dir);
    (config.budget.steps, config.eval_every, config.stop_when_flat) = (Some(1000), 1, Some(3));
    config.learning_rate = 1e-9;
    let outcome = run(&source, &config).unwrap();
    assert_eq!((outcome.end, outcome.history.points.len()), (End::Flat, 4));
}

#[test]
fn settings_are_checked() {
    type Change = fn(&mut DistillConfig);
    let cases: [(Change, &str); 17] = [
        (|c| c.budget.steps = None, "budget has no limit"),
        (|c| c.budget.minutes = Some(f64::NAN), "--minutes is NaN"),
        (|c| c.budget.steps = Some(0), "--steps is 0"),
        (|c| c.budget.tokens = Some(0), "--tokens is 0"),
        (|c| c.context = 257, "--context is 257; use 2 to the model's 256"),
        (
            |c| c.earlier_tokens = c.context,
            "--earlier-tokens is 24; use fewer than the context of 24",
        ),
        (|c| c.batch_tokens = 0, "--batch-tokens is 0"),
        (|c| c.learning_rate = -1.0, "--learning-rate is -1"),
        (|c| c.own_text = 1.5, "--own-text is 1.5"),
        (|c| c.unroll = 0, "--unroll is 0; use 1 to 16"),
        (|c| c.unroll = 17, "--unroll is 17; use 1 to 16"),
        (|c| c.held_out.max_draft = 0, "--max-draft is 0; use 1 to 64"),
        (|c| c.held_out.max_draft = 99_999, "--max-draft is 99999; use 1 to 64"),
        (|c| c.held_out.prompts = 0, "--eval-prompts is 0"),
        (|c| c.clip = 0.0, "clip is 0"),
        (|c| c.stop_when_flat = Some(0), "--stop-when-flat is 0"),
        (|c| c.split = Split { input_layers: 2, output_layers: 1 }, "leaves the cloud no layer"),
    ];
    for (change, expected) in cases {
        let error = error(|_, config| change(config));
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn files_are_checked() {
    let gone = error(|dir, config| config.valid = dir.file("gone.jsonl"));
    assert!(gone.contains("cannot read") && gone.contains("gone.jsonl"), "{gone}");
    let blocked = error(|dir, config| config.out = dir.file("config.json"));
    assert!(blocked.contains("cannot write"), "{blocked}");
    let none = error(|_, config| config.resume = true);
    assert!(none.contains("no checkpoint to resume from"), "{none}");
    let long = error(|_, config| config.context = 2);
    assert!(long.contains("every prompt fills the whole context"), "{long}");
    let no_room = error(|_, config| config.held_out.new_tokens = 255);
    assert!(no_room.contains("no prompt leaves room"), "{no_room}");
}

#[test]
fn broken_and_foreign_checkpoints_are_refused() {
    let dir = TempDir::new();
    let source = tiny_model(&dir, &json!({}));
    let mut config = tiny_config(&dir);
    config.budget.steps = Some(1);
    run(&source, &config).unwrap();
    assert!(matches!(run(&source, &config), Err(TrainError::WouldOverwrite(_))));
    config.resume = true;

    config.seed = 2;
    let error = run(&source, &config).unwrap_err().to_string();
    assert!(error.contains("was made with seed 1, not 2"), "{error}");
    config.seed = 1;

    config.kind = DrafterKind::Fused;
    let error = run(&source, &config).unwrap_err().to_string();
    assert!(error.contains("was made with kind hat, not fused"), "{error}");
    config.kind = DrafterKind::Hat;

    let path = config.out.join(CHECKPOINT_FILE);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(run(&source, &config), Err(TrainError::Checkpoint { .. })));
    fs::write(&path, b"not a checkpoint at all").unwrap();
    assert!(matches!(run(&source, &config), Err(TrainError::Checkpoint { .. })));
    fs::write(&path, &whole).unwrap();
    assert_eq!(run(&source, &config).unwrap().steps, 1);
}

#[test]
fn divergence_is_noticed() {
    let dir = TempDir::new();
    let source = tiny_model(&dir, &json!({}));
    let mut config = tiny_config(&dir);
    (config.learning_rate, config.warmup_steps, config.ce_weight) = (1.0, 0, 1e300);
    assert!(matches!(run(&source, &config), Err(TrainError::Diverged { .. })));
}
