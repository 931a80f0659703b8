//! Bad input: told in one line, with the mend and the right exit code, and nobody else is hurt.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Stdio,
};

use crate::support::{
    Cloud, Device, LIMIT, TempDir, copy_dir, demo, fair_drafter, fixture, greedy, on_token,
    poor_drafter, run, run_with_input, runtime, tricorn,
};
use bytes::Bytes;
use tokio_stream::wrappers::ReceiverStream;
use tricorn_core::{AppendHeader, AppendKind, DraftPolicy, HiddenCodec, Want};
use tricorn_device::Turn;
use tricorn_wire::{Append, Downlink, ErrorCode, Open, Uplink, proto, transport};

/// `run --local` on a model, with more arguments and a prompt.
fn local(model: &Path, more: &[&str]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> =
        ["run", "--local", "--max-tokens", "4", "--model"].map(OsString::from).into();
    arguments.push(model.into());
    arguments.extend(more.iter().map(OsString::from));
    arguments
}

#[track_caller]
fn refused<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>, code: i32, parts: &[&str]) {
    let finished = run(arguments);
    let line = finished.error(code);
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in {line:?}");
    }
}

/// Refused by the parser of arguments, which adds a hint on other lines.
#[track_caller]
fn misread(arguments: &[&str], parts: &[&str]) {
    let finished = run(arguments);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{finished:?}");
    assert!(finished.stderr.starts_with("error: "), "{finished:?}");
    for part in parts {
        assert!(finished.stderr.contains(part), "{part:?} is not in {finished:?}");
    }
}

fn llama_but(spoil: impl FnOnce(&TempDir)) -> TempDir {
    let model = copy_dir(&fixture("llama"));
    spoil(&model);
    model
}

#[track_caller]
fn broken_model(model: &TempDir, parts: &[&str]) {
    refused(local(model.path(), &["hello"]), 1, parts);
}

#[test]
fn no_such_device() {
    misread(
        &["run", "--local", "--model", "demo", "--device", "gpu", "hello"],
        &["--device", "`gpu` is no device; write cpu, cuda:N or metal:N"],
    );
    let format = "an accelerator has no KV cache in q8; use --kv f16 or f32";
    refused(local(Path::new("demo"), &["--device", "cuda:0", "--kv", "q8", "hello"]), 2, &[format]);
    for (device, built) in [
        ("cuda:0", cfg!(feature = "cuda")),
        ("metal:0", cfg!(feature = "metal")),
        ("candle-cpu", cfg!(feature = "candle")),
    ] {
        let kind = device.trim_end_matches("-cpu").trim_end_matches(":0");
        if !built {
            let hint = format!(
                "built without {kind}; build it with `cargo build --release --features {kind}`, \
                 or use --device cpu"
            );
            refused(local(Path::new("demo"), &["--device", device, "hello"]), 2, &[&hint]);
            refused(["cloud", "--model", "demo", "--device", device], 2, &[&hint]);
        }
    }
}

#[test]
fn no_model() {
    let place = TempDir::new();
    let missing = place.file("nowhere");
    let hint = ["there is no model in", "nowhere", "config.json"];
    refused(local(&missing, &["hello"]), 2, &hint);
    refused([OsStr::new("cloud"), OsStr::new("--model"), missing.as_os_str()], 2, &hint);
    refused([OsStr::new("inspect"), missing.as_os_str()], 2, &hint);
    refused(local(&fixture("llama").join("config.json"), &["hello"]), 2, &hint[..1]);
    refused(local(place.path(), &["hello"]), 2, &["there is no model in", "config.json"]);
}

#[test]
fn no_such_file() {
    let hint = &["cannot read /nowhere/x", "No such file"][..];
    let path = "see that the path is right";
    refused(
        local(Path::new("demo"), &["--json-schema", "/nowhere/x", "hello"]),
        2,
        &[hint, &["mend --json-schema"]].concat(),
    );
    refused(["bench", "perplexity", "--text", "/nowhere/x"], 2, &[hint, &[path]].concat());
    refused(
        ["bench", "hat", "--scenario", "quick", "--prompts", "/nowhere/x"],
        2,
        &[hint, &[path]].concat(),
    );
    refused(
        ["distill", "--model", "demo", "--measure", "--valid", "/nowhere/x"],
        2,
        &[hint, &[path]].concat(),
    );
}

#[test]
fn broken_weights() {
    let weights = "model.safetensors";
    broken_model(
        &llama_but(|model| fs::remove_file(model.file(weights)).unwrap()),
        &["has no model.safetensors", "download"],
    );
    let shard = copy_dir(&fixture("llama-rope3"));
    fs::remove_file(shard.file("model-00002-of-00002.safetensors")).unwrap();
    broken_model(&shard, &["model-00002-of-00002.safetensors", "download"]);
    let truncate = |model: &TempDir, bytes| {
        fs::File::options().write(true).open(model.file(weights)).unwrap().set_len(bytes).unwrap()
    };
    broken_model(
        &llama_but(|model| truncate(model, 100_000)),
        &["is truncated: it has 100000 bytes", "download it again"],
    );
    broken_model(&llama_but(|model| truncate(model, 7)), &[weights, "download it again"]);
    broken_model(
        &llama_but(|model| fs::write(model.file(weights), [0xff; 64]).unwrap()),
        &["not a valid file of weights"],
    );
    let wider = llama_but(|model| {
        model.edit("config.json", "\"intermediate_size\": 64", "\"intermediate_size\": 65")
    });
    let shapes = ["has shape [64", "calls for [65", "another model"];
    broken_model(&wider, &shapes);
    refused([OsStr::new("cloud"), OsStr::new("--model"), wider.path().as_os_str()], 1, &shapes);
    let deeper = llama_but(|model| {
        model.edit("config.json", "\"num_hidden_layers\": 4", "\"num_hidden_layers\": 5")
    });
    broken_model(&deeper, &["model.layers.4.", "is missing"]);
}

#[test]
fn broken_small_files() {
    broken_model(
        &llama_but(|model| fs::write(model.file("config.json"), "{").unwrap()),
        &["config.json", "download"],
    );
    broken_model(
        &llama_but(|model| model.edit("config.json", "LlamaForCausalLM", "GPT2LMHeadModel")),
        &["GPT2LMHeadModel", "not supported"],
    );
    let foreign = llama_but(|model| {
        assert!(fs::copy(demo().join("tokenizer.json"), model.file("tokenizer.json")).is_ok())
    });
    broken_model(&foreign, &["token ids up to 4095", "vocabulary is 280", "another model"]);
    broken_model(
        &llama_but(|model| fs::write(model.file("tokenizer.json"), "[]").unwrap()),
        &["tokenizer: ", "download"],
    );
    broken_model(
        &llama_but(|model| fs::remove_file(model.file("tokenizer.json")).unwrap()),
        &["has no tokenizer.json", "download"],
    );
    broken_model(
        &llama_but(|model| model.edit("tokenizer_config.json", "{% for", "{% fro")),
        &["chat template"],
    );
    let untold = llama_but(|model| fs::remove_file(model.file("tokenizer_config.json")).unwrap());
    refused(local(untold.path(), &["hello"]), 2, &["no chat template", "--raw"]);
}

#[test]
fn broken_drafters() {
    let drafter = |spoil: fn(&TempDir)| {
        let model = poor_drafter(&fixture("llama"), "2:0");
        spoil(&model);
        model
    };
    let other = drafter(|model| {
        let mistral = poor_drafter(&fixture("mistral"), "2:0");
        fs::copy(mistral.file("drafter-hat.json"), model.file("drafter-hat.json")).unwrap();
    });
    let print =
        |model: &Path| Device::load(model, "2:0", HiddenCodec::F16).parts.fingerprint.to_string();
    let (mine, theirs) = (print(&fixture("llama")), print(&fixture("mistral")));
    refused(
        local(other.path(), &["hello"]),
        2,
        &["the drafter is for model", &mine, &theirs, "tricorn distill"],
    );
    let corrupt = drafter(|model| fs::write(model.file("drafter-hat.json"), "{\"kind\":").unwrap());
    broken_model(&corrupt, &["drafter-hat.json", "tricorn distill"]);
    broken_model(
        &drafter(|model| fs::write(model.file("drafter-hat.safetensors"), "").unwrap()),
        &["drafter-hat.safetensors", "tricorn distill"],
    );
    let sound = drafter(|_| {});
    refused(
        local(sound.path(), &["--split", "1:0", "hello"]),
        2,
        &["the drafter is for split 2:0, not for split 1:0"],
    );
    for model in [&other, &corrupt, &sound] {
        let finished = run(local(model.path(), &["--split", "1:0", "--no-draft", "hello"]));
        assert_eq!(finished.code, Some(0), "a drafter that is not used does no harm: {finished:?}");
    }
}

#[test]
fn bad_prompts() {
    let model = fixture("llama");
    for prompt in ["", "  \n "] {
        refused(local(&model, &[prompt]), 2, &["the prompt is empty"]);
    }
    refused(local(&model, &["--raw", ""]), 2, &["the prompt is empty"]);
    let long = "hat ".repeat(300);
    refused(
        local(&model, &["--raw", &long]),
        2,
        &["the prompt has", "the context holds 256", "shorten"],
    );
    let finished = run_with_input(&mut tricorn(local(&model, &["-"])), b"caf\xe9");
    assert!(finished.error(2).contains("not UTF-8"), "{finished:?}");
    let finished = run_with_input(&mut tricorn(local(&model, &["-"])), b"");
    assert!(finished.error(2).contains("empty"), "{finished:?}");
}

#[cfg(unix)]
#[test]
fn an_argument_that_is_not_text() {
    use std::os::unix::ffi::OsStringExt;
    let mut arguments = local(&fixture("llama"), &[]);
    arguments.push(OsString::from_vec(b"caf\xe9".to_vec()));
    let finished = run(arguments);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""));
    assert!(
        finished.stderr.starts_with("error: ") && finished.stderr.contains("UTF-8"),
        "{finished:?}"
    );
}

#[test]
fn bad_flags() {
    let model = fixture("llama");
    let path = model.to_str().unwrap();
    refused(
        local(&model, &["--split", "0:0", "hello"]),
        2,
        &["split 0:0 keeps no decoder layer", "M of at least 1"],
    );
    refused(
        local(&model, &["--split", "9:9", "hello"]),
        2,
        &["split 9:9", "M + K must be below 4"],
    );
    refused(
        local(&model, &["--split", "2:2", "hello"]),
        2,
        &["split 2:2", "M + K must be below 4"],
    );
    refused(["cloud", "--model", path, "--split", "9:9"], 2, &["M + K must be below 4"]);
    refused(["inspect", path, "--split", "9:9"], 2, &["M + K must be below 4"]);
    for temperature in ["-1", "NaN", "11", "inf"] {
        refused(
            local(&model, &["--temperature", temperature, "hello"]),
            2,
            &["temperature", "out of range", "0 "],
        );
    }
    for (flag, value, field) in [
        ("--top-p", "0", "top_p"),
        ("--min-p", "2", "min_p"),
        ("--presence-penalty", "-3", "presence_penalty"),
        ("--repetition-penalty", "0", "repetition_penalty"),
    ] {
        refused(local(&model, &[flag, value, "hello"]), 2, &[field, "out of range", "use"]);
    }
    refused(
        local(&model, &["--json-schema", "nowhere.json", "hello"]),
        2,
        &["nowhere.json", "mend --json-schema"],
    );
    let cloud = |url| ["run", "--model", path, "--cloud", url, "hello"];
    refused(cloud("https://127.0.0.1:7070"), 2, &["no TLS", "http://HOST:PORT"]);
    for url in ["", "not a url", "127.0.0.1", "ftp://127.0.0.1:1"] {
        refused(cloud(url), 2, &["is not a cloud's address", "http://HOST:PORT"]);
    }
    let run = |more: &[&'static str]| {
        [&["run", "--model", path, "--local"][..], more, &["hello"]].concat()
    };
    misread(&run(&["--split", "junk"]), &["`junk` is not a split", "M:K"]);
    misread(&run(&["--codec", "f8"]), &["f8", "f16"]);
    misread(&run(&["--threshold", "2"]), &["0 to 1"]);
    misread(&run(&["--chunk", "0"]), &["at least 1"]);
    misread(&run(&["--deadline", "0"]), &["seconds"]);
    misread(&run(&["--seed", "x"]), &["--seed"]);
    misread(&run(&["--cloud", "http://127.0.0.1:1"]), &["--local", "--cloud"]);
    misread(&["run", "--model", path, "hello"], &["--cloud", "--local"]);
    misread(&["cloud", "--model", path, "--listen", "nowhere"], &["--listen"]);
}

#[test]
fn a_cloud_of_another_model_or_split() {
    let (ours, theirs) = (fixture("llama"), fixture("qwen3"));
    let print =
        |model: &Path| Device::load(model, "2:0", HiddenCodec::F16).parts.fingerprint.to_string();
    let asks = |cloud: &Cloud, split: &'static str| {
        [
            "run",
            "--model",
            ours.to_str().unwrap(),
            "--split",
            split,
            "--cloud",
            &cloud.url(),
            "hello",
        ]
        .map(str::to_owned)
    };
    let cloud = Cloud::start(&theirs, "2:0");
    refused(asks(&cloud, "2:0"), 3, &[&print(&ours), &print(&theirs), "use the same model"]);
    let cloud = Cloud::start(&ours, "2:1");
    refused(asks(&cloud, "1:1"), 3, &["1:1", "2:1", "use the same split"]);
    let taken = run([
        "cloud",
        "--model",
        ours.to_str().unwrap(),
        "--listen",
        &format!("127.0.0.1:{}", cloud.port),
    ]);
    assert!(taken.error(2).contains(&format!("127.0.0.1:{} is in use", cloud.port)), "{taken:?}");
    let address = format!("127.0.0.1:{}", cloud.port);
    let device = run(["device", "--model", "demo", "--local", "--listen", &address]);
    assert_eq!(device.error(2), taken.error(2));
    // An address for documentation (RFC 5737), which no machine has.
    refused(
        ["cloud", "--model", ours.to_str().unwrap(), "--listen", "192.0.2.1:0"],
        2,
        &["cannot listen on 192.0.2.1:0"],
    );
    let finished = run(asks(&cloud, "2:1"));
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn something_else_than_a_cloud() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Hangs up on whoever comes; ends with the test's process.
    std::thread::spawn(move || listener.incoming().flatten().for_each(drop));
    refused(
        ["run", "--model", fixture("llama").to_str().unwrap(), "--cloud", &url, "hello"],
        3,
        &["no cloud answers at", &url],
    );
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    for arguments in [
        &["inspect", "demo"][..],
        &["inspect", "demo", "--json"],
        &["run", "--model", "demo", "--local", "A lost letter."],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = tricorn(arguments)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut complaint = String::new();
        child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
        assert_eq!(
            (child.wait().unwrap().code(), complaint.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

/// What a session says after `Open`, and the code that it must be ended with.
fn hostile(hidden: usize) -> Vec<(Uplink, ErrorCode)> {
    let append = |pos: usize, rows: usize, bytes: Vec<u8>| {
        let header =
            AppendHeader { epoch: 0, pos, rows, want: Want::All, kind: AppendKind::Prompt };
        Uplink::Append(Append { header, rows: Bytes::from(bytes) })
    };
    let zeros = |rows: usize| vec![0; rows * hidden * 2];
    // The last value of the last row is a NaN in f16.
    let nan = [zeros(2)[2..].to_vec(), vec![0x00, 0x7e]].concat();
    vec![
        (append(0, 513, zeros(513)), ErrorCode::TooLarge),
        (append(0, 4, vec![0; 16 << 20]), ErrorCode::TooLarge),
        (append(0, 4, zeros(3)), ErrorCode::BadAppend),
        (append(0, 4, zeros(5)), ErrorCode::BadAppend),
        (append(0, 1, Vec::new()), ErrorCode::BadAppend),
        (append(0, 0, Vec::new()), ErrorCode::BadAppend),
        (append(0, usize::MAX / 2, zeros(1)), ErrorCode::TooLarge),
        (append(5, 1, zeros(1)), ErrorCode::BadAppend),
        (append(0, 300, zeros(300)), ErrorCode::TooLarge),
        (append(0, 2, nan), ErrorCode::BadFloat),
    ]
}

/// Opens a session, says one thing, and gives the failure that ends it.
async fn attack(cloud: &str, open: Open, message: Uplink) -> tricorn_wire::Failure {
    let channel = transport::endpoint(cloud).unwrap().connect().await.unwrap();
    let mut client = transport::client(channel, 64 << 20);
    let (up, messages) = tokio::sync::mpsc::channel::<proto::Uplink>(4);
    let mut down = client.session(ReceiverStream::new(messages)).await.unwrap().into_inner();
    up.send(Uplink::Open(open).into()).await.unwrap();
    let opened = Downlink::try_from(down.message().await.unwrap().unwrap()).unwrap();
    assert!(matches!(opened, Downlink::Opened(_)), "{opened:?}");
    up.send(message.into()).await.unwrap();
    match Downlink::try_from(down.message().await.unwrap().unwrap()).unwrap() {
        Downlink::Failed(failure) => {
            assert_eq!(down.message().await.unwrap(), None);
            failure
        }
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[test]
fn a_hostile_client_ends_its_own_session_only() {
    let model = fair_drafter(&fixture("llama"), "2:1");
    let device = Device::load(model.path(), "2:1", HiddenCodec::F16);
    let cloud = Cloud::start(model.path(), "2:1");
    let turn = Turn {
        draft: DraftPolicy::up_to(4, 0.0),
        ..greedy(device.prompt("The hat told the cloud a story."), 40)
    };
    let reference = device.reference(&turn);
    let parts = &device.parts;
    let open = Open {
        fingerprint: parts.fingerprint,
        split: parts.split,
        hidden: parts.hidden,
        codecs: vec![HiddenCodec::F16],
        context: None,
        formats: parts.formats,
    };

    let mut conversation = device.remote(&cloud.url());
    let mut attacks = hostile(parts.hidden).into_iter();
    // One attack every third token, so that the text goes on between them.
    let mut tokens = 0;
    let report = conversation.turn(turn, &mut |_| {
        tokens += 1;
        if tokens % 3 == 0
            && let Some((message, code)) = attacks.next()
        {
            let what = format!("{message:?}").chars().take(120).collect::<String>();
            let url = cloud.url();
            let open = open.clone();
            let attack =
                async move { tokio::time::timeout(LIMIT, attack(&url, open, message)).await };
            let failure = runtime().block_on(attack).unwrap();
            assert_eq!(failure.code, code, "{what}: {failure}");
            assert!(!failure.message.is_empty() && !failure.message.contains('\n'), "{failure:?}");
        }
        std::ops::ControlFlow::Continue(())
    });
    let report = report.unwrap();
    assert_eq!(attacks.count(), 0, "the text was too short for all attacks");
    assert_eq!((report.token_ids, report.stats.lost_connections), (reference.token_ids, 0));
}

#[test]
fn noise_on_the_port_hurts_nobody() {
    let model = fixture("qwen3");
    let device = Device::load(&model, "1:0", HiddenCodec::F16);
    let cloud = Cloud::start(&model, "1:0");
    let turn = greedy(device.prompt("The hat told the cloud a story."), 24);
    let reference = device.reference(&turn);
    let mut conversation = device.remote(&cloud.url());
    let report = conversation.turn(
        turn,
        &mut on_token(3, || {
            for noise in [
                &b"GET / HTTP/1.1\r\n\r\n"[..],
                &[0xff; 4096],
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff",
                b"",
            ] {
                let mut stream = TcpStream::connect(("127.0.0.1", cloud.port)).unwrap();
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                // The cloud may hang up before it has heard everything.
                let _ = stream
                    .write_all(noise)
                    .and_then(|()| stream.shutdown(std::net::Shutdown::Write));
                let _ = stream.read_to_end(&mut Vec::new());
            }
        }),
    );
    let report = report.unwrap();
    assert_eq!((report.token_ids, report.stats.lost_connections), (reference.token_ids, 0));
}

#[test]
fn weights_that_are_not_numbers_are_refused_in_every_mode() {
    let nan_in = |tensor: &str| {
        let model = llama_but(|_| {});
        let path = model.file("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let info: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
        let at = 8 + header + info[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
        bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        fs::write(path, bytes).unwrap();
        model
    };
    let first = nan_in("model.layers.0.input_layernorm.weight");
    refused(
        local(first.path(), &["--split", "1:0", "hello"]),
        1,
        &["first layers", "not numbers", "download it again"],
    );
    let middle = nan_in("model.layers.2.input_layernorm.weight");
    refused(
        local(middle.path(), &["--split", "1:0", "hello"]),
        1,
        &["middle layers", "not numbers", "download it again"],
    );
}

#[test]
fn mistakes_on_the_command_line_are_one_line() {
    let demo = || Path::new("demo");
    refused(local(demo(), &["--threads", "1000000", "hello"]), 2, &["--threads", "1024"]);
    refused(local(demo(), &["--chunk", "0", "hello"]), 2, &["--chunk", "whole"]);
    refused(["cloud", "--model", "demo", "--listen", "localhost:7070"], 2, &["write IP:PORT"]);
    refused(
        ["cloud", "--model", "demo", "--max-sessions", "0"],
        2,
        &["max_sessions", "at least 1"],
    );
    for (flag, value, hint) in [
        ("--schedule", "fair", "`whole` or `chunked`"),
        ("--emulate-pace", "20ms", "BASE:ROW"),
        ("--emulate-pace", "20000:", "BASE:ROW"),
        ("--tbt-target", "-1", "milliseconds"),
        ("--tbt-target", "0", "milliseconds"),
        ("--kv-memory", "0", "at least 1"),
        ("--batch-rows", "0", "at least 1"),
        ("--max-append-rows", "many", "at least 1"),
    ] {
        refused(["cloud", "--model", "demo", &format!("{flag}={value}")], 2, &[flag, hint]);
    }
    refused(["run", "--model", "demo", "hello"], 2, &["--cloud", "--help"]);
}
