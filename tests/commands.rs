//! Commands: each does what its help says.
#![cfg(unix)]

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    ops::ControlFlow,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::support::{
    Cloud, Device, FAMILIES, Running, TempDir, ask, copy_dir, demo, fair_drafter, fixture, greedy,
    run, run_with_input, stories_prompts, tricorn, until,
};
use serde_json::Value;
use tricorn_core::HiddenCodec;
use tricorn_device::Chat;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// All that the JSON of a turn must hold, and sense in it.
#[track_caller]
fn check_turn(json: &Value) {
    let count = |field: &str| json[field].as_u64().unwrap_or_else(|| panic!("{field} in {json}"));
    let number = |value: &Value| {
        value
            .as_f64()
            .filter(|number| number.is_finite() && *number >= 0.0)
            .unwrap_or_else(|| panic!("{value} in {json}"))
    };
    assert!(json["text"].is_string());
    let tokens = json["token_ids"].as_array().unwrap();
    assert!(!tokens.is_empty() && tokens.iter().all(Value::is_u64));
    assert!(["stop", "length"].contains(&json["finish_reason"].as_str().unwrap()));
    assert!(number(&json["ttft_ms"]) > 0.0);
    let [mean, p50, p99] = ["mean", "p50", "p99"].map(|figure| number(&json["tbt_ms"][figure]));
    assert!(p50 <= p99 && mean > 0.0);
    let (rounds, drafted) = (count("rounds"), count("drafted"));
    assert!(count("accepted") <= drafted && rounds < tokens.len() as u64);
    assert!(
        (number(&json["accepted_per_round"]) - (tokens.len() as f64 - 1.0) / rounds as f64).abs()
            < 1e-9
    );
    count("bytes_up");
    count("bytes_down");
}

#[test]
fn run_tells_programs_what_they_need() {
    let model = fair_drafter(&fixture("qwen2"), "1:0");
    let cloud = Cloud::start(model.path(), "1:0");
    let common = ["run", "--json", "--max-tokens", "16", "--model", text(model.path())];
    let local = run([&common[..], &["--local", "A hat."]].concat()).json();
    let remote = run([&common[..], &["--cloud", &cloud.url(), "A hat."]].concat()).json();
    [&local, &remote].into_iter().for_each(check_turn);
    assert_eq!((local["bytes_up"].as_u64(), local["bytes_down"].as_u64()), (Some(0), Some(0)));
    // At least the prompt's rows up and a row for each token down, two bytes a value.
    assert!(
        remote["bytes_up"].as_u64().unwrap() >= remote["prompt_tokens"].as_u64().unwrap() * 48 * 2,
        "{remote}"
    );
    assert!(remote["bytes_down"].as_u64().unwrap() >= 16 * 48 * 2, "{remote}");
    assert!(
        remote["drafted"].as_u64() > Some(0) && remote["accepted"].as_u64() > Some(0),
        "{remote}"
    );

    let spoken = run([&common[..2], &common[2..], &["--cloud", &cloud.url(), "-"]].concat());
    assert_eq!(spoken.code, Some(2), "standard input is empty: {spoken:?}");
    let arguments =
        ["run", "--max-tokens", "16", "--model", text(model.path()), "--cloud", &cloud.url(), "-"];
    let plain = run_with_input(&mut tricorn(arguments), b"A hat.");
    assert_eq!(
        (plain.code, plain.stdout.trim_end_matches('\n')),
        (Some(0), remote["text"].as_str().unwrap().trim_end_matches('\n')),
        "{plain:?}"
    );
    assert!(plain.stderr.contains("16 tokens | first after"), "{plain:?}");
}

#[test]
fn help_is_there_for_everybody() {
    for command in ["demo", "run", "chat", "cloud", "distill", "pack", "inspect"] {
        let help = run([command, "--help"]);
        assert!(
            help.code == Some(0) && help.stdout.contains(&format!("Usage: tricorn {command}")),
            "{help:?}"
        );
    }
    let version = run(["--version"]);
    assert_eq!(
        (version.code, version.stdout.trim()),
        (Some(0), concat!("tricorn ", env!("CARGO_PKG_VERSION")))
    );
    let nothing = run::<&str>([]);
    assert!(
        nothing.code == Some(2) && nothing.stderr.contains("Usage: tricorn <COMMAND>"),
        "{nothing:?}"
    );
}

#[test]
fn demo_works_from_any_folder_and_leaves_nothing_behind() {
    let mut command = tricorn(["demo", "--json", "--max-tokens", "24"]);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let running = Running::spawn(command.current_dir("/"));
    let group = running.id();
    let json = running.finish().json();
    check_turn(&json);
    assert!(json["bytes_up"].as_u64() > Some(0), "{json}");
    assert!(json["accepted"].as_u64() > Some(0), "{json}");
    assert!(!Running::group_is_alive(group), "a process of the demo is left");
    // The text is the model's.
    let device = Device::load(&demo(), "2:0", HiddenCodec::F16);
    let tokens = device.prompt("A curious girl finds a hidden door in her grandmother's garden.");
    assert_eq!(json["token_ids"], Value::from(device.reference(&greedy(tokens, 24)).token_ids));

    let shown = run(["demo", "--max-tokens", "24", "--prompt", "A lost letter."]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for part in
        ["> A lost letter.", "run in process", "time to first token", "round trips", "on the wire"]
    {
        assert!(shown.stdout.contains(part), "{part:?} is not in {shown:?}");
    }
    assert!(run(["demo", "--prompt", ""]).error(2).contains("the prompt is empty"));
}

#[test]
fn a_killed_demo_takes_its_cloud_along() {
    let mut running = Running::spawn(&mut tricorn(["demo", "--max-tokens", "1500"]));
    let intro = running.line();
    let address: SocketAddr = intro
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split(')').next())
        .unwrap()
        .parse()
        .unwrap();
    running.kill();
    until("the demo's cloud is gone", || TcpStream::connect(address).is_err().then_some(()));
}

#[test]
fn a_cloud_is_ready_once_and_stops_in_good_order() {
    let model = fixture("llama");
    for signal in ["TERM", "INT"] {
        let mut running = Running::spawn(&mut tricorn([
            "cloud",
            "--model",
            text(&model),
            "--listen",
            "127.0.0.1:0",
            "--split",
            "2:1",
        ]));
        let ready = running.line();
        for part in ["ready on http://127.0.0.1:", "layers 2..3 of 4", "model "] {
            assert!(ready.contains(part), "{part:?} is not in {ready:?}");
        }
        running.signal(signal);
        let finished = running.finish();
        assert_eq!(
            (finished.code, finished.stdout.as_str(), finished.stderr.as_str()),
            (Some(0), "", ""),
            "{signal}"
        );
    }
    let mut cloud = Cloud::start_with(&model, "2:1", 0, &["--until-stdin-ends"]);
    let device = Device::load(&model, "2:1", HiddenCodec::F16);
    // An idle session does not hold it up.
    let mut conversation = device.remote(&cloud.url());
    ask(&mut conversation, greedy(device.prompt("A hat."), 4));
    cloud.close_stdin();
    let finished = cloud.finish();
    assert_eq!(finished.stderr, "");
    let end = finished.json();
    assert_eq!((end["event"].as_str(), end["overruns"].as_u64()), (Some("end"), Some(0)));
    assert!(
        end["batches"].as_u64() > Some(0) && end["rows"].as_u64() >= end["batches"].as_u64(),
        "{end}"
    );
}

#[test]
fn however_a_cloud_schedules_the_text_is_the_same() {
    let model = fair_drafter(&fixture("llama"), "1:0");
    let common = [
        "run",
        "--json",
        "--max-tokens",
        "12",
        "--model",
        text(model.path()),
        "The hat told the cloud a story of many words.",
    ];
    let local = run([&common[..], &["--local"]].concat()).json();
    for (flags, most_rows) in [
        (&["--batch-rows", "3", "--tbt-target", "0.001"][..], 3),
        (&["--schedule", "whole", "--max-append-rows", "256", "--emulate-pace", "500:20"], 256),
    ] {
        let mut cloud =
            Cloud::start_with(model.path(), "1:0", 0, &[flags, &["--until-stdin-ends"]].concat());
        let remote = run([&common[..], &["--cloud", &cloud.url()]].concat()).json();
        assert_eq!(remote["token_ids"], local["token_ids"], "{flags:?}");
        cloud.close_stdin();
        let end = cloud.finish().json();
        // The prompt's pieces, and one a round.
        let least = remote["prompt_tokens"].as_u64().unwrap().div_ceil(most_rows)
            + remote["rounds"].as_u64().unwrap();
        assert!(end["batches"].as_u64() >= Some(least), "{flags:?}: {end}, at least {least}");
    }
}

#[test]
fn bundles_work_with_each_other_and_for_their_own_side_only() {
    let cut = "2:1";
    let model = fair_drafter(&fixture("qwen3"), cut);
    let out = TempDir::new();
    let packed =
        run(["pack", "--model", text(model.path()), "--out", text(out.path()), "--json"]).json();
    let (device, cloud) = (
        PathBuf::from(packed["device"].as_str().unwrap()),
        PathBuf::from(packed["cloud"].as_str().unwrap()),
    );
    let whole = fs::metadata(model.file("model.safetensors")).unwrap().len();
    let parts = packed["device_bytes"].as_u64().unwrap() + packed["cloud_bytes"].as_u64().unwrap();
    assert!(parts < whole && parts > whole * 9 / 10, "{packed} of {whole}");

    // Whoever may read one file of a bundle may read all of them.
    for part in [&device, &cloud] {
        let modes: Vec<u32> = fs::read_dir(part)
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().permissions().mode())
            .collect();
        assert!(
            modes.len() > 2 && modes.iter().all(|mode| *mode == modes[0] && mode & 0o400 != 0),
            "{modes:?}"
        );
    }

    let common = ["run", "--json", "--max-tokens", "24", "The hat told the cloud a story."];
    let expected = run([&common[..], &["--model", text(model.path()), "--local"]].concat()).json();
    let running = Cloud::start(&cloud, cut);
    let from_bundles =
        run([&common[..], &["--model", text(&device), "--cloud", &running.url()]].concat()).json();
    assert_eq!(
        (&from_bundles["token_ids"], &from_bundles["text"]),
        (&expected["token_ids"], &expected["text"])
    );
    assert!(from_bundles["accepted"].as_u64() > Some(0), "the drafter came along: {from_bundles}");

    let refused = run(["cloud", "--model", text(&device), "--listen", "127.0.0.1:0"]);
    assert!(
        refused.error(2).contains("this is a device bundle for split 2:1; use the cloud bundle"),
        "{refused:?}"
    );
    let refused = run(["run", "--model", text(&cloud), "--cloud", &running.url(), "hello"]);
    assert!(
        refused.error(2).contains("this is a cloud bundle for split 2:1; use the device bundle"),
        "{refused:?}"
    );
    let refused = run(["run", "--model", text(&device), "--local", "hello"]);
    assert!(refused.error(2).contains("a device bundle has no middle layers"), "{refused:?}");
    let refused = run([
        "run",
        "--model",
        text(&device),
        "--split",
        "1:1",
        "--cloud",
        &running.url(),
        "hello",
    ]);
    assert!(refused.error(2).contains("for split 2:1"), "{refused:?}");
    let refused = run(["pack", "--model", text(&device), "--out", text(&out.file("again"))]);
    assert!(refused.error(2).contains("cannot be packed again"), "{refused:?}");
    let refused = run(["pack", "--model", text(model.path()), "--out", text(out.path())]);
    assert!(refused.error(2).contains("not empty; choose another --out"), "{refused:?}");
}

#[test]
fn a_cloud_whose_memory_is_too_little_for_one_session_says_how_much_it_takes() {
    let noted = |memory: &str| {
        let mut cloud =
            Cloud::start_with(&demo(), "2:0", 0, &["--until-stdin-ends", "--kv-memory", memory]);
        cloud.close_stdin();
        cloud.finish().stderr
    };
    let warning = noted("1");
    let needed = warning
        .split("which takes ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .unwrap_or_else(|| panic!("{warning}"));
    assert!(warning.starts_with("warning: --kv-memory 1 is too little"), "{warning}");
    assert_eq!(noted(needed), "");
}

/// Bytes of all tensors: of the files but their headers.
fn tensor_bytes(model: &Path) -> u64 {
    let mut sum = 0;
    for entry in fs::read_dir(model).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let content = fs::read(path).unwrap();
            sum += content.len() as u64 - 8 - u64::from_le_bytes(content[..8].try_into().unwrap());
        }
    }
    sum
}

#[test]
fn any_format_of_the_kv_cache_gives_one_text_on_both_sides() {
    for kv in ["q8", "f32"] {
        let prompt = "A lost letter.";
        let split =
            run(["demo", "--json", "--max-tokens", "40", "--kv", kv, "--prompt", prompt]).json();
        let whole = run([
            "run",
            "--model",
            "demo",
            "--local",
            "--no-draft",
            "--json",
            "--max-tokens",
            "40",
            "--kv",
            kv,
            prompt,
        ])
        .json();
        assert_eq!(split["token_ids"], whole["token_ids"], "{kv}");
    }
    assert!(
        run(["run", "--model", "demo", "--local", "--kv", "int4", "hello"])
            .error(2)
            .contains("use f16, q8 or f32")
    );
}

#[test]
fn inspect_accounts_for_every_byte() {
    for name in FAMILIES {
        for (split, on_device) in [("1:0", 1), ("2:1", 3)] {
            let json = run(["inspect", "--json", "--split", split, text(&fixture(name))]).json();
            let count =
                |field: &str| json[field].as_u64().unwrap_or_else(|| panic!("{field} in {json}"));
            let parts = ["input_bytes", "middle_bytes", "output_bytes"].map(count);
            assert!(parts.iter().all(|&bytes| bytes > 0), "{json}");
            assert_eq!(parts.iter().sum::<u64>(), tensor_bytes(&fixture(name)), "{json}");
            assert_eq!(
                count("device_kv_bytes_per_token") * (count("layers") - on_device),
                count("cloud_kv_bytes_per_token") * on_device,
                "{json}"
            );
            assert_eq!(
                json["wire_bytes_per_token"],
                serde_json::json!([["f16", 2 * count("hidden")], ["f32", 4 * count("hidden")]])
            );
            assert_eq!((json["split"].as_str(), count("context")), (Some(split), 256));
            assert_eq!(json["fingerprint"].as_str().unwrap().len(), 64);
        }
    }
    let bytes = ["f16", "q8", "f32"].map(|kv| {
        run(["inspect", "demo", "--json", "--kv", kv]).json()["cloud_kv_bytes_per_token"].as_u64()
    });
    // Ten layers of the demo model's twelve, two heads of 64, keys and values.
    assert_eq!(bytes, [2 * 2560, 2560 + 10 * 2 * 2 * 4, 4 * 2560].map(Some));
    let shown = run(["inspect", "demo"]);
    assert!(
        shown.code == Some(0)
            && ["Llama", "split", "KV cache a token", "wire a token"]
                .iter()
                .all(|part| shown.stdout.contains(part)),
        "{shown:?}"
    );
}

#[test]
fn a_chats_new_turn_uploads_only_what_is_new() {
    let messages = [stories_prompts()[0].clone(), "And then?".to_owned(), "Who was it?".to_owned()];
    let model = demo();
    let cloud = Cloud::start(&model, "2:0");
    let arguments = [
        "chat",
        "--model",
        text(&model),
        "--split",
        "2:0",
        "--cloud",
        &cloud.url(),
        "--max-tokens",
        "24",
    ];
    let chat = run_with_input(&mut tricorn(arguments), (messages.join("\n") + "\n").as_bytes());
    assert_eq!(chat.code, Some(0), "{chat:?}");

    // The same with the library, and every turn anew from the first token on.
    let device = Device::load(&model, "2:0", HiddenCodec::F16);
    let mut conversation = device.remote(&cloud.url());
    let (mut history, mut shown, mut figures) = (Chat::new(), String::new(), Vec::new());
    for message in &messages {
        let tokens = history.ask(&device.prompter, message).unwrap();
        let turn = greedy(tokens.clone(), 24);
        let fresh = device.reference(&turn);
        let report = conversation.turn(turn, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(report.token_ids, fresh.token_ids);
        let uploaded = tokens.len() - report.stats.reused_tokens;
        assert!(
            figures.is_empty() || uploaded < 16,
            "{uploaded} rows of {} uploaded",
            tokens.len()
        );
        figures.push(format!(
            "{} of {} prompt tokens reused",
            report.stats.reused_tokens,
            tokens.len()
        ));
        let spoken = report
            .token_ids
            .iter()
            .position(|id| device.parts.stop_tokens.contains(id))
            .unwrap_or(report.token_ids.len());
        let text = device.text(&tokens, &report.token_ids);
        history.answered(&report.token_ids[..spoken], &text);
        shown += &(text + "\n");
    }
    assert_eq!(chat.stdout, shown);
    let told: Vec<&str> = chat.stderr.lines().collect();
    assert_eq!(told.len(), figures.len(), "{chat:?}");
    for (line, figures) in told.iter().zip(&figures) {
        assert!(line.ends_with(figures), "{figures:?} is not in {line:?}");
    }
}

#[test]
fn a_chat_that_fails_says_so_once() {
    let model = fixture("llama");
    let arguments = ["chat", "--model", text(&model), "--local", "--max-tokens", "4"];
    let chat =
        run_with_input(&mut tricorn(arguments), format!("{}\n", "hat ".repeat(300)).as_bytes());
    assert!(chat.error(2).contains("shorten the prompt"), "{chat:?}");
    // Turns before cannot be shortened; /clear gives their room back.
    let turn = format!("{}\n", "hat ".repeat(60));
    let full = run_with_input(&mut tricorn(arguments), turn.repeat(8).as_bytes());
    assert!(
        full.code == Some(2)
            && full.stderr.contains("the chat has")
            && full.stderr.contains("/clear begins a new chat"),
        "{full:?}"
    );
    let cleared =
        run_with_input(&mut tricorn(arguments), format!("{turn}/clear\n").repeat(8).as_bytes());
    assert_eq!(
        (cleared.code, cleared.stderr.matches("a new chat begins").count()),
        (Some(0), 8),
        "{cleared:?}"
    );
}

/// The fields by which every kind of line is known.
const EVENTS: [(&str, &[&str]); 7] = [
    ("loaded", &["examples", "held_out"]),
    ("resumed", &["step", "tokens"]),
    (
        "step",
        &[
            "step",
            "tokens",
            "tokens_per_s",
            "loss",
            "smooth_l1",
            "cross_entropy",
            "learning_rate",
            "progress",
            "seconds_left",
        ],
    ),
    ("evaluated", &["point"]),
    ("saved", &["path"]),
    ("finished", &["report"]),
    ("end", &["reason", "steps", "tokens", "out"]),
];

/// The name of the event that a line tells of, and the line.
#[track_caller]
fn event(line: &str) -> (&'static str, Value) {
    let json: Value = serde_json::from_str(line).unwrap();
    let (name, fields) = *EVENTS
        .iter()
        .find(|(name, _)| json["event"] == *name)
        .unwrap_or_else(|| panic!("unknown event: {line}"));
    for field in fields {
        assert!(json.get(field).is_some(), "{field} is missing in {line}");
    }
    (name, json)
}

#[test]
fn distill_stops_cleanly_resumes_and_leaves_a_drafter() {
    let model = copy_dir(&fixture("llama"));
    let place = TempDir::new();
    let sentence = |n: usize| {
        format!(
            "{{\"prompt\": \"The hat said {n}.\", \"response\": \"The cloud told the hat a story \
             of {n} crabs.\"}}\n"
        )
    };
    fs::write(place.file("train.jsonl"), (0..12).map(sentence).collect::<String>()).unwrap();
    fs::write(place.file("valid.jsonl"), (12..15).map(sentence).collect::<String>()).unwrap();
    let (train, valid, out) =
        (place.file("train.jsonl"), place.file("valid.jsonl"), place.file("out"));
    let arguments = |more: &[&str]| {
        let mut all = vec![
            "distill",
            "--json",
            "--model",
            text(model.path()),
            "--split",
            "1:0",
            "--data",
            text(&train),
            "--valid",
            text(&valid),
        ];
        all.extend([
            "--out",
            text(&out),
            "--batch-tokens",
            "64",
            "--context",
            "64",
            "--eval-prompts",
            "2",
            "--eval-tokens",
            "8",
        ]);
        all.extend(more);
        all.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };

    let mut running = Running::spawn(&mut tricorn(arguments(&["--steps", "1000000000"])));
    let mut before = Vec::new();
    while before.iter().filter(|(name, _)| *name == "step").count() < 5 {
        before.push(event(&running.line()));
    }
    assert_eq!(before[0].0, "loaded");
    running.signal("INT");
    let stopped = running.finish();
    assert_eq!((stopped.code, stopped.stderr.as_str()), (Some(0), ""));
    let (name, end) = event(stopped.stdout.lines().last().unwrap());
    assert_eq!((name, end["reason"].as_str()), ("end", Some("stopped")));
    let steps = end["steps"].as_u64().unwrap();
    assert!(steps >= 5 && out.join("checkpoint.safetensors").exists(), "{end}");

    let resumed = run(arguments(&["--resume", "--steps", &(steps + 3).to_string()]));
    let events: Vec<_> = resumed.stdout.lines().map(event).collect();
    let resumption = events.iter().find(|(name, _)| *name == "resumed").unwrap();
    assert_eq!(resumption.1["step"], end["steps"]);
    assert_eq!(events.iter().filter(|(name, _)| *name == "step").count(), 3);
    let (name, end) = events.last().unwrap();
    assert_eq!(
        (*name, end["reason"].as_str(), end["steps"].as_u64()),
        ("end", Some("budget"), Some(steps + 3))
    );

    for file in ["drafter-hat.safetensors", "drafter-hat.json"] {
        fs::copy(out.join(file), model.file(file)).unwrap();
    }
    let common =
        ["run", "--json", "--local", "--max-tokens", "16", "--model", text(model.path()), "A hat."];
    let (with, without) =
        (run(common).json(), run([&common[..], &["--split", "1:0", "--no-draft"]].concat()).json());
    assert!(with["drafted"].as_u64() > Some(0) && without["drafted"].as_u64() == Some(0));
    assert_eq!(with["token_ids"], without["token_ids"]);

    let missing = place.file("none");
    let common = [
        "distill",
        "--model",
        text(model.path()),
        "--context",
        "64",
        "--valid",
        text(&valid),
        "--out",
        text(&out),
    ];
    let nothing = run([&common[..], &["--data", text(&missing)]].concat());
    assert!(
        nothing.error(2).contains("cannot read")
            && nothing.stderr.contains("see that the path is right"),
        "{nothing:?}"
    );
    for (flag, value) in [
        ("--minutes", "0"),
        ("--steps", "0"),
        ("--learning-rate", "0"),
        ("--max-draft", "99999"),
        ("--unroll", "17"),
        ("--eval-prompts", "0"),
    ] {
        let wrong = run([&common[..], &["--data", text(&train), flag, value]].concat());
        assert!(wrong.error(2).contains(&format!("{flag} is {value}; use")), "{wrong:?}");
    }
    let short = run([
        "distill",
        "--model",
        text(model.path()),
        "--context",
        "0",
        "--valid",
        text(&valid),
        "--out",
        text(&out),
        "--data",
        text(&train),
    ]);
    assert!(short.error(2).contains("--context is 0; use 2 to"), "{short:?}");
}
