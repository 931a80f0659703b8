//! `tricorn device` at its start: what it says and refuses.
#![cfg(unix)]

use crate::support::{Finished, Running, fixture, post, run, tricorn};
use serde_json::{Value, json};
use std::net::SocketAddr;

const DEMO: [&str; 4] = ["device", "--model", "demo", "--local"];
const LOOPBACK: &str = "127.0.0.1:0";

fn demo(more: &[&str]) -> Finished {
    run([&DEMO[..], &["--listen", LOOPBACK], more].concat())
}

/// What the endpoint answers to one question.
fn ask(address: SocketAddr, model: &Value) -> Value {
    let messages = json!([{ "role": "user", "content": "A lost letter." }]);
    let body = json!({ "model": model, "temperature": 0, "max_tokens": 12, "messages": messages });
    post(address, "/v1/chat/completions", &body)
}

/// Starts one, asks it, stops it; returns its ready line, its answer, and what it noted.
fn served(listen: &str, more: &[&str]) -> (Value, Value, String) {
    let mut running =
        Running::spawn(&mut tricorn([&DEMO[..], &["--json", "--listen", listen], more].concat()));
    let ready: Value = serde_json::from_str(&running.line()).unwrap();
    let port = ready["address"].as_str().unwrap().parse::<SocketAddr>().unwrap().port();
    let answer = ask(SocketAddr::from(([127, 0, 0, 1], port)), &ready["model"]);
    running.signal("TERM");
    let finished = running.finish();
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), ""), "{finished:?}");
    (ready, answer, finished.stderr)
}

#[test]
fn its_ready_line_tells_programs_where_it_is_and_what_it_serves() {
    let (ready, answer, noted) = served(LOOPBACK, &["--name", "hat"]);
    assert_eq!(
        (ready["event"].as_str(), ready["model"].as_str(), noted.as_str()),
        (Some("ready"), Some("hat"), "")
    );
    let inspected = run(["inspect", "demo", "--json"]).json();
    assert_eq!(ready["fingerprint"], inspected["fingerprint"]);
    assert_eq!(answer["model"], "hat");
}

#[test]
fn it_drafts_as_it_is_told_and_the_text_is_the_same() {
    let texts =
        [&["--no-draft"][..], &["--drafter", "hat"], &[], &["--no-draft", "--split", "1:0"]]
            .map(|flags| served(LOOPBACK, flags).1["choices"][0]["message"]["content"].clone());
    assert!(texts[0].as_str().is_some_and(|text| !text.is_empty()));
    texts.iter().for_each(|text| assert_eq!(text, &texts[0]));
    let other_split = demo(&["--split", "1:0"]);
    assert!(other_split.error(2).contains("add --no-draft"), "{other_split:?}");
}

#[test]
fn an_address_that_others_reach_is_warned_of() {
    let (_, _, noted) = served("0.0.0.0:0", &[]);
    assert!(
        noted.starts_with("warning: everybody who can reach 0.0.0.0:") && noted.contains("no key"),
        "{noted}"
    );
}

#[test]
fn what_could_never_work_is_refused() {
    for (flags, parts) in [
        (&["--allow-origin", "foo"][..], &["--allow-origin", "scheme://host"][..]),
        (&["--allow-host", "http://x"], &["--allow-host", "without http://"]),
        (&["--name", ""], &["--name"]),
        (
            &["--no-draft", "--offline-fallback", "draft"],
            &["needs a drafter", "leave --no-draft out"],
        ),
    ] {
        let refused = demo(flags);
        let line = refused.error(2);
        parts.iter().for_each(|part| assert!(line.contains(part), "{part:?} is not in {line:?}"));
    }
    let model = fixture("llama");
    let refused = run([
        "device",
        "--local",
        "--listen",
        LOOPBACK,
        "--offline-fallback",
        "draft",
        "--model",
        model.to_str().unwrap(),
    ]);
    assert!(refused.error(2).contains("train one with `tricorn distill`"), "{refused:?}");
}
