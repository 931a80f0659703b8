//! A middle in several clouds: the text is that of one, whatever becomes of the later stages.
#![cfg(unix)]

use std::{cell::RefCell, path::Path, thread, time::Duration};

use crate::support::{
    Cloud, Device, TempDir, ask, copy_dir, demo, fair_drafter, fixture, greedy, on_token, run,
    stories_prompts,
};
use tricorn_core::{ChunkPolicy, DraftPolicy, HiddenCodec, SamplingParams};
use tricorn_device::{DeviceError, Event, TransportError, Turn};

/// Layers of the first and the second stage of a model's middle.
struct Cut {
    split: &'static str,
    first: &'static str,
    second: &'static str,
}

const QWEN: Cut = Cut { split: "1:1", first: "1..2", second: "2..4" };

/// A middle in two processes.
struct Pipeline {
    cut: Cut,
    first: Cloud,
    second: Cloud,
}

impl Pipeline {
    fn start(model: &Path, cut: Cut, more: &[&str]) -> Self {
        let second = Cloud::start_with(model, cut.split, 0, &["--layers", cut.second]);
        let first = Cloud::start_with(
            model,
            cut.split,
            0,
            &[&["--layers", cut.first, "--next", &second.url()], more].concat(),
        );
        Self { cut, first, second }
    }

    /// Kills the second stage and starts another in its place.
    fn replace_second(&mut self, model: &Path) {
        self.second.kill();
        self.second = Cloud::start_at_with(
            model,
            self.cut.split,
            self.second.port,
            &["--layers", self.cut.second],
        );
    }
}

/// Turns that differ in all that stages could get wrong.
fn turns(tokens: Vec<u32>, count: usize) -> [Turn; 3] {
    let plain = greedy(tokens, count);
    let drafted =
        Turn { draft: DraftPolicy::up_to(5, 0.0), chunk: ChunkPolicy::Fixed(7), ..plain.clone() };
    let sampled = Turn { sampling: SamplingParams::new(0.8, 11).unwrap(), ..drafted.clone() };
    [plain, drafted, sampled]
}

#[test]
fn two_stages_write_what_one_process_does() {
    let model = copy_dir(&demo());
    let pipeline =
        Pipeline::start(model.path(), Cut { split: "2:0", first: "2..7", second: "7..12" }, &[]);
    let url = pipeline.first.url();
    let device = Device::load(model.path(), "2:0", HiddenCodec::F16);
    let prompts = stories_prompts();
    // Four devices at a time, so that batches of several are under way in both stages.
    thread::scope(|scope| {
        for prompt in &prompts[..4] {
            scope.spawn(|| {
                for turn in turns(device.prompt(prompt), 32) {
                    let reference = device.reference(&turn);
                    let report = ask(&mut device.remote(&url), turn.clone());
                    assert_eq!(report.token_ids, reference.token_ids, "{turn:?}");
                    assert_eq!(report.stats.lost_connections, 0);
                }
            });
        }
    });
}

#[test]
fn three_stages_write_what_one_process_does() {
    let model = fair_drafter(&fixture("qwen3"), "1:1");
    let cloud = |layers, next: Option<&Cloud>| {
        let url = next.map(Cloud::url);
        let next: Vec<&str> = url.iter().flat_map(|url| ["--next", url.as_str()]).collect();
        Cloud::start_with(model.path(), "1:1", 0, &[&["--layers", layers], &next[..]].concat())
    };
    let third = cloud("3..4", None);
    let second = cloud("2..3", Some(&third));
    let first = cloud("1..2", Some(&second));
    for codec in HiddenCodec::ALL {
        let device = Device::load(model.path(), "1:1", codec);
        for turn in turns(device.prompt("The hat told the cloud a story."), 40) {
            assert_eq!(
                ask(&mut device.remote(&first.url()), turn.clone()).token_ids,
                device.reference(&turn).token_ids,
                "{turn:?}"
            );
        }
    }
}

#[test]
fn a_cloud_bundle_serves_every_stage() {
    let folder = TempDir::new();
    let packed = folder.file("packed");
    run([
        "pack",
        "--model",
        fixture("qwen3").to_str().unwrap(),
        "--split",
        QWEN.split,
        "--json",
        "--out",
        packed.to_str().unwrap(),
    ])
    .json();
    let pipeline = Pipeline::start(&packed.join("cloud"), QWEN, &[]);
    let device = Device::load(&fixture("qwen3"), QWEN.split, HiddenCodec::F16);
    let turn = greedy(device.prompt("The hat told the cloud a story."), 24);
    assert_eq!(
        ask(&mut device.remote(&pipeline.first.url()), turn.clone()).token_ids,
        device.reference(&turn).token_ids
    );
}

#[test]
fn a_killed_stage_is_replaced() {
    let model = fair_drafter(&fixture("qwen3"), QWEN.split);
    let device = Device::load(model.path(), QWEN.split, HiddenCodec::F16);
    let mut pipeline = Pipeline::start(model.path(), QWEN, &[]);
    let url = pipeline.first.url();
    for turn in turns(device.prompt("The hat told the cloud a story."), 40) {
        let reference = device.reference(&turn);
        for token in [1, 17] {
            // The first stage takes its time to find the second again.
            let mut conversation = device.remote_after(&url, Duration::from_secs(30), 500);
            let report = conversation
                .turn(turn.clone(), &mut on_token(token, || pipeline.replace_second(model.path())))
                .unwrap();
            assert_eq!(report.token_ids, reference.token_ids, "at token {token} of {turn:?}");
            assert!(report.stats.lost_connections >= 1, "{:?}", report.stats);
        }
    }
}

#[test]
fn a_frozen_stage_is_replaced() {
    let model = fair_drafter(&fixture("qwen3"), QWEN.split);
    let device = Device::load(model.path(), QWEN.split, HiddenCodec::F16);
    let pipeline = RefCell::new(Pipeline::start(model.path(), QWEN, &["--next-deadline", "2"]));
    let url = pipeline.borrow().first.url();
    let [_, turn, _] = turns(device.prompt("The hat told the cloud a story."), 40);
    let mut conversation = device.remote_after(&url, Duration::from_secs(30), 500);
    let mut lost = 0;
    let mut freeze = on_token(9, || pipeline.borrow().second.freeze());
    let report = conversation.turn(turn.clone(), &mut |event| {
        if event == Event::Reconnecting {
            lost += 1;
            pipeline.borrow_mut().replace_second(model.path());
        }
        freeze(event)
    });
    assert_eq!(report.unwrap().token_ids, device.reference(&turn).token_ids);
    assert!(lost >= 1);
}

#[test]
fn a_stage_that_stays_away_is_a_typed_error() {
    let model = fair_drafter(&fixture("qwen3"), QWEN.split);
    let device = Device::load(model.path(), QWEN.split, HiddenCodec::F16);
    let mut pipeline = Pipeline::start(model.path(), QWEN, &[]);
    let [turn, ..] = turns(device.prompt("The hat told the cloud a story."), 40);
    let mut conversation = device.remote(&pipeline.first.url());
    let error = conversation.turn(turn, &mut on_token(6, || pipeline.second.kill())).unwrap_err();
    match &error {
        DeviceError::Transport(TransportError::Unreachable { reason, .. }) => {
            assert!(reason.contains("a later stage"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_device_at_the_wrong_stage_is_refused() {
    let model = fixture("qwen3");
    let pipeline = Pipeline::start(&model, QWEN, &[]);
    let url = pipeline.second.url();
    let finished = run([
        "run",
        "--model",
        model.to_str().unwrap(),
        "--split",
        QWEN.split,
        "--cloud",
        &url,
        "hello",
    ]);
    assert!(finished.error(3).contains("connect to the cloud that holds layer 1"), "{finished:?}");
}

#[test]
fn what_is_wrong_with_a_stage_is_one_line_at_its_start() {
    let model = fixture("qwen3");
    let cloud = |more: &[&str]| {
        let common = [
            "cloud",
            "--model",
            model.to_str().unwrap(),
            "--split",
            "1:1",
            "--listen",
            "127.0.0.1:0",
        ];
        run([&common[..], more].concat())
    };
    for (arguments, part) in [
        (&["--layers", "1..2"][..], "--next URL"),
        (&["--layers", "1..4", "--next", "127.0.0.1:1"], "leave out --next"),
        (&["--layers", "0..2", "--next", "127.0.0.1:1"], "1..4"),
        (&["--layers", "2"], "A..B"),
        (&["--layers", "1..2", "--next", "nowhere"], "http://HOST:PORT"),
    ] {
        assert!(cloud(arguments).error(2).contains(part), "{arguments:?}");
    }
    // A port that is reserved for a service of the 1980s (tcpmux).
    let alone = cloud(&["--layers", "1..2", "--next", "127.0.0.1:1"]);
    let lines: Vec<&str> = alone.stderr.lines().collect();
    assert_eq!(
        (alone.code, lines.len(), lines[0]),
        (Some(3), 2, "waiting for the next stage at 127.0.0.1:1"),
        "{alone:?}"
    );
    assert!(lines[1].starts_with("error: ") && lines[1].contains("--layers 2..B"), "{alone:?}");
    let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let itself = run([
        "cloud",
        "--model",
        model.to_str().unwrap(),
        "--split",
        "1:1",
        "--layers",
        "1..2",
        "--listen",
        &own,
        "--next",
        &own,
    ]);
    assert!(itself.error(2).contains("is this cloud itself"), "{itself:?}");
    let last = Cloud::start_with(&model, "1:1", 0, &["--layers", "3..4"]);
    assert!(cloud(&["--layers", "1..2", "--next", &last.url()]).error(3).contains("--layers 2..B"));
}
