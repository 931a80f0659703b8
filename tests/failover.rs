//! A cloud may go, come back, freeze or never have been: the text is the same, or there is one
//! clear error.
#![cfg(unix)]

use std::{
    cell::RefCell, net::TcpStream, ops::ControlFlow, path::Path, process::Command, time::Duration,
};

use crate::support::{
    Cloud, Device, Running, TempDir, ask, demo, fair_drafter, fixture, greedy, on_token, run,
};
use tricorn_core::{ChunkPolicy, DraftPolicy, HiddenCodec, SamplingParams};
use tricorn_device::{
    Conversation, DeviceError, Event, Transport, TransportError, Turn, TurnReport,
};

const CUTS: [&str; 2] = ["1:0", "2:1"];

fn model(cut: &str) -> TempDir {
    fair_drafter(&fixture("llama"), cut)
}

/// Turns that differ in all that a replay could get wrong.
fn turns(device: &Device) -> [Turn; 4] {
    let plain = greedy(device.prompt("The hat told the cloud a story."), 40);
    let drafted =
        Turn { draft: DraftPolicy::up_to(5, 0.0), chunk: ChunkPolicy::Fixed(7), ..plain.clone() };
    let sampled =
        |turn: &Turn| Turn { sampling: SamplingParams::new(0.8, 11).unwrap(), ..turn.clone() };
    [sampled(&plain), sampled(&drafted), plain, drafted]
}

/// Runs every turn with `disaster` befalling the cloud at a token, and checks text and figures.
fn survives(cut: &str, disaster: impl Fn(&mut Cloud, &Path)) {
    let model = model(cut);
    let device = Device::load(model.path(), cut, HiddenCodec::F16);
    let mut cloud = Cloud::start(model.path(), cut);
    for turn in turns(&device) {
        let reference = device.reference(&turn);
        for token in [1, 2, 17] {
            let mut conversation = device.remote(&cloud.url());
            let report = conversation
                .turn(turn.clone(), &mut on_token(token, || disaster(&mut cloud, model.path())))
                .unwrap();
            assert_eq!(
                report.token_ids, reference.token_ids,
                "{cut}, at token {token} of {turn:?}"
            );
            assert_eq!(report.stats.lost_connections, 1);
            assert!(
                report.stats.uploaded_rows > turn.tokens.len() * 2,
                "nothing was replayed: {:?}",
                report.stats
            );
        }
    }
}

#[test]
fn a_killed_cloud_is_replaced() {
    for cut in CUTS {
        survives(cut, |cloud, model| cloud.replace(model, cut));
    }
}

#[test]
fn a_cloud_that_shuts_down_is_replaced() {
    survives("2:1", |cloud, model| {
        cloud.signal("TERM");
        cloud.replace(model, "2:1");
    });
}

#[test]
fn a_frozen_cloud_is_replaced() {
    let model = model("2:1");
    let device = Device::load(model.path(), "2:1", HiddenCodec::F16);
    let turn = turns(&device)[3].clone();
    let reference = device.reference(&turn);
    let cloud = RefCell::new(Cloud::start(model.path(), "2:1"));
    let mut conversation = device.remote_with(&cloud.borrow().url(), Duration::from_millis(500));
    let mut reconnects = 0;
    let mut freeze = on_token(9, || cloud.borrow().freeze());
    let report = conversation.turn(turn, &mut |event| {
        if event == Event::Reconnecting {
            reconnects += 1;
            cloud.borrow_mut().replace(model.path(), "2:1");
        }
        freeze(event)
    });
    assert_eq!(report.unwrap().token_ids, reference.token_ids);
    assert!(reconnects >= 1);
}

#[test]
fn a_cloud_may_go_again_and_again() {
    let model = model("2:1");
    let device = Device::load(model.path(), "2:1", HiddenCodec::F16);
    let turn = turns(&device)[1].clone();
    let reference = device.reference(&turn);
    let mut cloud = Cloud::start(model.path(), "2:1");
    let mut conversation = device.remote(&cloud.url());
    let mut tokens = 0;
    let report = conversation.turn(turn, &mut |event| {
        tokens += usize::from(matches!(event, Event::Token { .. }));
        if matches!(event, Event::Token { .. }) && tokens % 5 == 0 {
            cloud.replace(model.path(), "2:1");
        }
        ControlFlow::Continue(())
    });
    let report = report.unwrap();
    assert_eq!(report.token_ids, reference.token_ids);
    // More than the losses in a row that end a turn.
    assert!(report.stats.lost_connections >= 5, "{:?}", report.stats);
}

#[test]
fn a_cloud_that_is_gone_for_good_is_a_typed_error_and_the_conversation_goes_on_when_it_is_back() {
    let model = model("2:1");
    let device = Device::load(model.path(), "2:1", HiddenCodec::F16);
    let mut cloud = Cloud::start(model.path(), "2:1");
    let mut conversation = device.remote(&cloud.url());
    for turn in turns(&device) {
        let reference = device.reference(&turn);
        let error = conversation.turn(turn.clone(), &mut on_token(6, || cloud.kill())).unwrap_err();
        match &error {
            DeviceError::Transport(TransportError::Unreachable { url, attempts: 5, .. }) => {
                assert_eq!(*url, cloud.url())
            }
            other => panic!("{other:?}"),
        }
        assert!(
            !error.to_string().contains('\n') && error.to_string().contains("tricorn cloud"),
            "{error}"
        );
        assert_eq!(
            conversation.tokens()[turn.tokens.len()..],
            reference.token_ids[..conversation.tokens().len() - turn.tokens.len()]
        );

        cloud.replace(model.path(), "2:1");
        assert_eq!(ask(&mut conversation, turn).token_ids, reference.token_ids);
    }
}

#[test]
fn a_cloud_that_takes_less_at_a_time_is_given_less() {
    let model = model("2:1");
    let device = Device::load(model.path(), "2:1", HiddenCodec::F16);
    let mut cloud = Cloud::start(model.path(), "2:1");
    let mut conversation = device.remote(&cloud.url());
    for turn in turns(&device) {
        let turn = Turn { chunk: ChunkPolicy::Whole, ..turn };
        let reference = device.reference(&turn);
        let shrink = |cloud: &mut Cloud| {
            cloud.kill();
            *cloud =
                Cloud::start_at_with(model.path(), "2:1", cloud.port, &["--max-append-rows", "6"]);
        };
        let report =
            conversation.turn(turn.clone(), &mut on_token(6, || shrink(&mut cloud))).unwrap();
        assert_eq!(report.token_ids, reference.token_ids);
        // The next turn finds the limits as they are, and the one after that those of before.
        assert_eq!(ask(&mut conversation, turn.clone()).token_ids, reference.token_ids);
        cloud.replace(model.path(), "2:1");
        assert_eq!(ask(&mut conversation, turn).token_ids, reference.token_ids);
    }
}

#[test]
fn a_cloud_without_file_descriptors_says_so_once_and_takes_devices_when_there_are_some_again() {
    let mut shell = Command::new("sh");
    // Hard and soft: this limit the cloud cannot raise.
    shell.args(["-c", "ulimit -n 40 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_tricorn")]);
    let mut cloud = Running::spawn(shell.args([
        "cloud",
        "--model",
        "demo",
        "--json",
        "--listen",
        "127.0.0.1:0",
    ]));
    let ready: serde_json::Value = serde_json::from_str(&cloud.line()).unwrap();
    let address = ready["address"].as_str().unwrap();
    let connections: Vec<TcpStream> =
        (0..60).map(|_| TcpStream::connect(address).unwrap()).collect();
    let warning = cloud.error_line();
    assert!(
        warning.starts_with("warning: no connection can be taken") && warning.contains("ulimit -n"),
        "{warning}"
    );
    drop(connections);
    let text = run([
        "run",
        "--model",
        "demo",
        "--max-tokens",
        "4",
        "--cloud",
        &format!("http://{address}"),
        "Once",
    ]);
    assert_eq!(text.code, Some(0), "{text:?}");
    cloud.signal("TERM");
    let ended = cloud.finish();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn another_model_in_the_clouds_place_is_refused() {
    let (model, other) = (model("2:1"), fixture("llama"));
    let device = Device::load(model.path(), "2:1", HiddenCodec::F16);
    let turn = turns(&device)[2].clone();
    let reference = device.reference(&turn);
    let mut cloud = Cloud::start(model.path(), "2:1");
    let mut conversation = device.remote(&cloud.url());
    let error = conversation
        .turn(turn.clone(), &mut on_token(6, || cloud.replace(&other, "2:1")))
        .unwrap_err();
    assert!(matches!(error, DeviceError::Transport(TransportError::Refused(_))), "{error:?}");
    cloud.replace(model.path(), "2:1");
    assert_eq!(ask(&mut conversation, turn).token_ids, reference.token_ids);
}

#[test]
fn a_cancelled_turn_leaves_the_conversation_usable() {
    let model = model("2:1");
    let device = Device::load(model.path(), "2:1", HiddenCodec::F16);
    let cloud = Cloud::start(model.path(), "2:1");
    let mut conversation = device.remote(&cloud.url());
    for turn in turns(&device) {
        let reference = device.reference(&turn);
        let mut tokens = 0;
        let cancelled = conversation.turn(turn.clone(), &mut |event| {
            tokens += usize::from(matches!(event, Event::Token { .. }));
            if tokens < 7 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let cancelled = cancelled.unwrap();
        assert_eq!(cancelled.finish, tricorn_core::FinishReason::Cancelled);
        assert!(
            reference.token_ids.starts_with(&cancelled.token_ids) && cancelled.token_ids.len() >= 7
        );
        let again = ask(&mut conversation, turn);
        assert_eq!((again.token_ids, again.stats.lost_connections), (reference.token_ids, 0));
    }
}

#[test]
fn a_cloud_that_never_was_is_one_line() {
    let model = fixture("llama");
    // A port that is reserved for a service of the 1980s (tcpmux).
    let url = "http://127.0.0.1:1";
    let finished = run(["run", "--model", model.to_str().unwrap(), "--cloud", url, "hello"]);
    let line = finished.error(3);
    for part in [url, "refused", "tried 6 times", "tricorn cloud"] {
        assert!(line.contains(part), "{line}");
    }
}

/// A cloud that takes longer for a batch than the device waits: replays get no further.
#[test]
fn a_cloud_that_fails_at_the_same_place_each_time_is_given_up() {
    let model = model("1:0");
    let cloud = Cloud::start_with(model.path(), "1:0", 0, &["--emulate-pace", "3000000:0"]);
    let device = Device::load(model.path(), "1:0", HiddenCodec::F16);
    let mut conversation = device.remote_with(&cloud.url(), Duration::from_millis(300));
    let turn = Turn {
        chunk: ChunkPolicy::Fixed(7),
        ..greedy(device.prompt("The hat told the cloud a story."), 40)
    };
    let (ended, losses) = counting_losses(&mut conversation, turn);
    assert!(
        matches!(ended, Err(DeviceError::Transport(TransportError::KeepsFailing { .. }))),
        "{ended:?}"
    );
    assert!(losses < 10, "{losses} reconnections");
}

#[test]
fn a_text_that_the_cloud_has_no_room_for_is_tried_twice_and_shorter_ones_go_on() {
    let cloud = Cloud::start_with(&demo(), "2:0", 0, &["--kv-memory", "2"]);
    let device = Device::load(&demo(), "2:0", HiddenCodec::F16);
    let mut conversation = device.remote(&cloud.url());
    let long = device.prompt(&"The hat told the cloud a story about a letter. ".repeat(80));
    let (ended, losses) = counting_losses(&mut conversation, greedy(long, 4));
    assert!(matches!(ended, Err(DeviceError::Transport(TransportError::NoRoom(_)))), "{ended:?}");
    assert_eq!(losses, 1);
    let short = greedy(device.prompt("The hat told the cloud a story."), 8);
    let reference = device.reference(&short);
    assert_eq!(ask(&mut conversation, short).token_ids, reference.token_ids);
}

/// What a turn comes to, and how often it reconnected.
fn counting_losses<L: Transport>(
    conversation: &mut Conversation<'_, L>,
    turn: Turn,
) -> (Result<TurnReport, DeviceError>, usize) {
    let mut losses = 0;
    let ended = conversation.turn(turn, &mut |event| {
        losses += usize::from(event == Event::Reconnecting);
        ControlFlow::Continue(())
    });
    (ended, losses)
}
