//! Logs of device and cloud: an object a line, and nothing of what was asked and answered in them.
#![cfg(unix)]

use crate::support::{Cloud, Finished, Running, demo, post, run, tricorn};
use serde_json::{Value, json};
use std::net::SocketAddr;

const PROMPT: &str = "A quetzal hums a zirconium waltz for the xylophone.";
const MAX_TOKENS: usize = 24;

/// A device for the demo model with these flags, and where it listens.
fn device(flags: &[&str]) -> (Running, SocketAddr) {
    let common = ["device", "--model", "demo", "--json", "--listen", "127.0.0.1:0"];
    let mut running = Running::spawn(&mut tricorn([&common[..], flags].concat()));
    let ready: Value = serde_json::from_str(&running.line()).unwrap();
    (running, ready["address"].as_str().unwrap().parse().unwrap())
}

/// Asks for an answer to [`PROMPT`]; returns its text.
fn ask(address: SocketAddr) -> String {
    let messages = json!([{ "role": "user", "content": PROMPT }]);
    let body = json!({
        "model": "demo", "messages": messages, "max_tokens": MAX_TOKENS, "temperature": 0
    });
    let answer = post(address, "/v1/chat/completions", &body);
    answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

fn stopped(running: Running) -> Finished {
    running.signal("TERM");
    let finished = running.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished
}

/// The objects of a log, of which every line must be one.
fn objects(log: &str) -> Vec<Value> {
    let object = |line: &str| {
        let value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(matches!(value, Value::Object(_)), "{line}");
        value
    };
    log.lines().map(object).collect()
}

/// That a log holds nothing of the text `said`, nor of its tokens, nor of hidden rows.
fn assert_discreet(log: &str, said: &str, tokens: &[u64]) {
    for text in [PROMPT, said] {
        let words: Vec<&str> = text.split_whitespace().collect();
        assert!(words.len() > 3, "{text:?} is too short to be looked for");
        for run in words.windows(3) {
            let run = run.join(" ");
            assert!(!log.contains(&run), "{run:?} is in {log}");
        }
    }
    for run in tokens.windows(3) {
        let run: Vec<String> = run.iter().map(u64::to_string).collect();
        for between in [",", ", ", " "] {
            assert!(!log.contains(&run.join(between)), "{run:?} is in {log}");
        }
    }
    // Rows would be many numbers.
    for object in objects(log) {
        let lists = object.as_object().unwrap().values().filter_map(Value::as_array);
        lists.for_each(|list| assert!(list.len() < 8, "{object}"));
    }
}

#[test]
fn the_most_detailed_logs_tell_of_requests_and_never_of_texts() {
    let flags = ["--log", "debug", "--log-format", "json"];
    let cloud = Cloud::start_with(&demo(), "2:0", 0, &flags);
    let url = cloud.url();
    let (running, address) = device(&[&flags[..], &["--cloud", &url]].concat());
    let said = ask(address);
    let alone = run(["run", "--model", "demo", "--local", "--json", "--max-tokens", "24", PROMPT]);
    let alone = alone.json();
    assert_eq!(alone["text"].as_str(), Some(said.as_str()));
    let tokens: Vec<u64> =
        alone["token_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();

    let device_log = stopped(running).stderr;
    let is_request = |object: &&Value| object["path"] == "/v1/chat/completions";
    let requests: Vec<Value> = objects(&device_log).iter().filter(is_request).cloned().collect();
    assert_eq!(requests.len(), 1, "{device_log}");
    let request = &requests[0];
    assert_eq!(
        (&request["level"], &request["method"], &request["status"]),
        (&json!("INFO"), &json!("POST"), &json!(200))
    );
    assert!(request["ms"].as_f64() > Some(0.0), "{request}");
    assert_discreet(&device_log, &said, &tokens);

    cloud.signal("TERM");
    let finished = cloud.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_discreet(&finished.stderr, &said, &tokens);
    let log = objects(&finished.stderr);
    for message in ["session opened", "session closed"] {
        let told: Vec<_> = log.iter().filter(|object| object["message"] == message).collect();
        assert_eq!(told.len(), 1, "{message}: {}", finished.stderr);
        assert!(told[0]["session"].is_u64(), "{}", told[0]);
    }
}

#[test]
fn without_a_flag_requests_leave_no_line() {
    for (flags, lines) in [(&[][..], 0), (&["--log", "info"], 1)] {
        let (running, address) = device(&[&["--local"][..], flags].concat());
        ask(address);
        let log = stopped(running).stderr;
        let requests = log.lines().filter(|line| line.contains("/v1/chat/completions"));
        assert_eq!(requests.count(), lines, "{log}");
        if lines == 0 {
            assert_eq!(log, "");
        }
    }
}

#[test]
fn levels_and_formats_that_there_are_not_are_refused() {
    for (flag, value, mend) in [
        ("--log", "loud", "write error, warn, info or debug"),
        ("--log-format", "xml", "text or json"),
    ] {
        for command in [&["device", "--local"][..], &["cloud"]] {
            let finished = run([command, &["--model", "demo", flag, value]].concat());
            assert!(finished.error(2).contains(mend), "{finished:?}");
        }
    }
}
