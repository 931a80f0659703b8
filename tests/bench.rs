//! `tricorn bench`: all modes write the same text, the engine is measured, a run can be stopped,
//! and nonsense is refused.
#![cfg(unix)]

use std::{collections::BTreeSet, fs};

use crate::support::{Running, TempDir, run, tricorn, until};
use serde_json::Value;

/// The smallest run of all: two devices, two requests, six tokens.
const SMALL: [&str; 8] =
    ["bench", "hat", "--scenario", "quick", "--requests", "2", "--max-new", "6"];

fn modes(report: &Value) -> BTreeSet<&str> {
    report["rows"].as_array().unwrap().iter().map(|row| row["mode"].as_str().unwrap()).collect()
}

#[test]
fn every_mode_writes_the_whole_models_text() {
    let out = TempDir::new();
    let json =
        run([&SMALL[..], &["--check", "--json", "--out", out.path().to_str().unwrap()]].concat())
            .json();
    let report = &json["reports"][0];
    let expected = ["u-shape", "u-sarathi", "+chunks", "+chunks+drafts", "hat", "hat-no-chunks"];
    assert!(modes(report).is_superset(&expected.into()), "{json}");
    assert_eq!(report["mismatches"], Value::Array(Vec::new()));
    assert_eq!(
        (&report["settings"]["checked"], &report["partial"]),
        (&Value::Bool(true), &Value::Bool(false))
    );
    let texts = 2 * report["rows"].as_array().unwrap().len();
    assert_eq!(report["compared"], serde_json::json!({ "planned": texts, "done": texts }));
    for row in report["rows"].as_array().unwrap() {
        assert_eq!((row["answered"].as_u64(), row["failed"].as_u64()), (Some(2), Some(0)), "{row}");
        assert!(
            row["ttft_ms"]["mean"].as_f64() > Some(0.0)
                && row["tbt_ms"]["p99"].as_f64() > Some(0.0),
            "{row}"
        );
        // Two bytes a value, 256 values a token and at least one token up and down.
        assert!(
            row["bytes_up"].as_f64() > Some(512.0) && row["bytes_down"].as_f64() > Some(512.0),
            "{row}"
        );
        assert!(row["ttft_over_bound"]["p50"].as_f64() >= Some(0.9), "{row}");
        let drafts = !["u-shape", "u-shape-coded", "u-sarathi", "+chunks"]
            .contains(&row["mode"].as_str().unwrap());
        // Without drafts every token arrives alone.
        let [pauses, gaps] = ["pause_ms", "tbt_ms"].map(|of| row[of]["count"].as_u64().unwrap());
        assert!(pauses > 0 && pauses <= gaps && (drafts || pauses == gaps), "{row}");
        assert_eq!(row["shared"], row["answered"], "{row}");
        assert_eq!(row["tokens_per_round"].as_f64() > Some(1.0), drafts, "{row}");
    }
    for file in ["report.md", "report.json", "ttft.svg", "tbt.svg", "mid-waterfall.svg"] {
        assert!(fs::metadata(out.path().join(file)).unwrap().len() > 100, "{file}");
    }
}

#[test]
fn own_prompts_and_fixed_chunks() {
    let folder = TempDir::new();
    let file = folder.path().join("prompts.jsonl");
    fs::write(
        &file,
        "{\"prompt\": \"A lost letter.\"}\n{\"prompt\": \"A dragon.\", \"more\": 1}\n",
    )
    .unwrap();
    let more = [
        "--modes",
        "u-shape,fixed-3",
        "--prompts",
        file.to_str().unwrap(),
        "--rate",
        "50",
        "--devices",
        "1",
    ];
    let text = run([&SMALL[..], &more].concat());
    assert_eq!(text.code, Some(0), "{text:?}");
    assert!(
        text.stdout.contains("Load own: 50.0 requests/s") && text.stdout.contains("fixed-3"),
        "{text:?}"
    );
    assert!(
        text.stdout.contains("4 of 4 texts compared, all equal to the whole model's"),
        "{text:?}"
    );
}

/// Processes whose parent is `parent`.
#[cfg(target_os = "linux")]
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let of_parent = |process: &u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // pid (command) state ppid ...
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok())
            == Some(parent)
    };
    processes.filter(of_parent).collect()
}

#[cfg(target_os = "linux")]
fn all_gone(processes: &[u32]) -> Option<()> {
    // A zombie has no command line any more.
    let alive = |process: &u32| {
        fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| !line.is_empty())
    };
    (!processes.iter().any(alive)).then_some(())
}

#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_leaves_a_partial_report_and_no_process() {
    let many = [
        "bench",
        "hat",
        "--scenario",
        "quick",
        "--requests",
        "5000",
        "--modes",
        "u-shape,u-sarathi",
        "--json",
    ];
    let running = Running::spawn(&mut tricorn(many));
    let clouds = until("both clouds run", || {
        Some(children(running.id())).filter(|clouds| clouds.len() == 2)
    });
    running.signal("INT");
    let finished = running.finish();
    assert_eq!(finished.code, Some(130), "{finished:?}");
    assert!(finished.stderr.contains("stopped by Ctrl-C"), "{finished:?}");
    let json: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(
        (&json["partial"], &json["reports"][0]["partial"]),
        (&Value::Bool(true), &Value::Bool(true))
    );
    until("the clouds end", || all_gone(&clouds));
}

/// Whether a process has a handler for SIGINT.
#[cfg(target_os = "linux")]
fn catches_int(process: u32) -> Option<()> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?.trim();
    (u64::from_str_radix(caught, 16).ok()? & 0b10 != 0).then_some(())
}

#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_while_loading_is_a_stop_too() {
    let many = [
        "bench",
        "hat",
        "--scenario",
        "quick",
        "--requests",
        "5000",
        "--modes",
        "u-shape,hat",
        "--json",
    ];
    let running = Running::spawn(&mut tricorn(many));
    // The program is there, and its model is being loaded.
    until("the signal is caught", || catches_int(running.id()));
    running.signal("INT");
    let finished = running.finish();
    assert_eq!(finished.code, Some(130), "{finished:?}");
    let json: Value = serde_json::from_str(&finished.stdout).unwrap();
    let report = &json["reports"][0];
    assert_eq!(
        (&report["partial"], report["rows"].as_array().map(Vec::len)),
        (&Value::Bool(true), Some(2)),
        "{json}"
    );
    assert_eq!(report["compared"]["planned"], 10_000);
}

#[test]
#[cfg(target_os = "linux")]
fn clouds_end_with_a_bench_that_is_killed() {
    let mut running = Running::spawn(&mut tricorn([
        "bench",
        "hat",
        "--scenario",
        "quick",
        "--requests",
        "1000",
        "--modes",
        "u-shape",
    ]));
    let clouds = until("the cloud runs", || {
        Some(children(running.id())).filter(|clouds| !clouds.is_empty())
    });
    running.kill();
    until("the cloud ends", || all_gone(&clouds));
}

#[test]
fn nonsense_is_refused_in_one_line() {
    let folder = TempDir::new();
    let file = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let long = file("long.jsonl", &format!("{{\"prompt\": \"{}\"}}", "word ".repeat(3000)));
    let (broken, empty) =
        (file("broken.jsonl", "{\"prompt\": \"a\"}\n{\"text\": 1}\n"), file("empty.jsonl", ""));
    let in_a_file = format!("{empty}/results");
    let cases: [(&[&str], &[&str]); 20] = [
        (&["--scenario", "wlan"], &["`wlan`", "paper-proportions"]),
        (&["--modes", "u-shape,hut"], &["`hut`", "u-sarathi", "fixed-N"]),
        (&["--modes", "fixed-0"], &["`fixed-0`"]),
        (&["--modes", "hat,u-shape,hat"], &["`hat` stands twice"]),
        (&["--load", "mid,mid"], &["`mid` stands twice"]),
        (&["--out", &empty], &[&empty, "choose another --out"]),
        (&["--out", &in_a_file], &[&in_a_file, "choose another --out"]),
        (&["--load", "huge"], &["`huge`", "low, mid, high"]),
        (&["--sweep", "everything"], &["`everything`", "interference"]),
        (&["--sweep", "chunks", "--modes", "hat"], &["--modes"]),
        (&["--rate", "0"], &["0 requests/s", "0.001"]),
        (&["--rate", "-1"], &["-1 requests/s"]),
        (&["--rate", "nan"], &["NaN"]),
        (&["--rate", "1", "--load", "low"], &["--load"]),
        (&["--devices", "0"], &["devices is 0", "1 to 64"]),
        (&["--requests", "0"], &["requests is 0"]),
        (&["--max-new", "0"], &["--max-new is 0", "2047"]),
        (&["--max-new", "2048"], &["--max-new is 2048"]),
        (&["--prompts", &long], &["line 1", "shorten"]),
        (&["--prompts", &broken], &["line 2", "prompt"]),
    ];
    for (arguments, parts) in cases {
        let finished = run([&["bench", "hat"], arguments].concat());
        let line = finished.error(2);
        parts.iter().for_each(|part| assert!(line.contains(part), "{part:?} is not in {line:?}"));
    }
    assert!(run(["bench", "hat", "--prompts", &empty]).error(2).contains("there is none"));
    assert!(
        run(["bench", "hat", "--prompts", "/nowhere/prompts.jsonl"])
            .error(2)
            .contains("cannot read /nowhere/prompts.jsonl")
    );
    assert!(run(["bench", "hat", "--model", "/nowhere"]).error(2).contains("/nowhere"));
}

#[test]
fn the_engine_is_measured() {
    let out = TempDir::new();
    let small = [
        "bench",
        "engine",
        "--model",
        "demo",
        "--prefill",
        "4,12",
        "--rows",
        "2",
        "--decode",
        "3",
        "--rounds",
        "1",
        "--threads",
        "2",
    ];
    let json =
        run([&small[..], &["--json", "--out", out.path().to_str().unwrap()]].concat()).json();
    let report = &json["report"];
    let work: Vec<&str> = report["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["work"].as_str().unwrap())
        .collect();
    assert_eq!(
        work,
        ["prefill 4", "prefill 12", "decode at 12", "decode at 4", "1 row at 4", "2 rows at 4"]
    );
    for row in report["rows"].as_array().unwrap() {
        for figure in
            [&row["own"]["tokens_per_second"], &row["bandwidth_share"], &row["arithmetic_share"]]
        {
            assert!(figure.as_f64() > Some(0.0), "{row}");
        }
        assert!(row["peer"].is_null() && row["ratio"].is_null(), "{row}");
    }
    assert_eq!(
        (report["limits"]["threads"].as_u64(), report["rows"][4]["own"]["to_one_row"].as_f64()),
        (Some(2), Some(1.0))
    );
    assert!(
        report["limits"]["bandwidth"].as_f64() > Some(0.0)
            && report["weight_bytes"].as_u64() > Some(1 << 20),
        "{json}"
    );
    for file in ["engine.md", "engine.json"] {
        assert!(fs::metadata(out.path().join(file)).unwrap().len() > 100, "{file}");
    }
}

#[test]
fn an_engine_that_cannot_be_measured_or_compared_is_refused() {
    let refused = |arguments: &[&str], code: i32, part: &str| {
        let finished = run([&["bench", "engine"], arguments].concat());
        let line = finished.error(code);
        assert!(line.contains(part), "{line}");
    };
    refused(&["--model", "/nonexistent/model.gguf"], 2, "/nonexistent/model.gguf");
    refused(&["--model", "demo", "--peer", "llama-cpp"], 2, "reads GGUF files");
    refused(&["--model", "demo", "--decode", "0"], 2, "--decode is 0");
    refused(&["--model", "demo", "--prefill", "1000000"], 2, "the context is");
    refused(&["--model", "demo", "--python", "python3"], 2, "--peer");
}
