//! `tricorn link` between a device and a cloud: slower, and otherwise as if it were not there.
#![cfg(unix)]

use crate::support::{
    Cloud, Device, LIMIT, Running, fair_drafter, fixture, greedy, on_token, run, tricorn, until,
};
use serde_json::Value;
use std::{
    io::{ErrorKind, Read},
    net::{TcpListener, TcpStream},
};
use tricorn_core::HiddenCodec;
use tricorn_device::Event;
use tricorn_netem::{Emulator, LinkConfig, Preset};

/// A link to `to` on any free port, and its ready line.
fn link(to: &str, more: &[&str]) -> (Running, Value) {
    let mut running = Running::spawn(&mut tricorn(
        [&["link", "--json", "--listen", "127.0.0.1:0", "--to", to][..], more].concat(),
    ));
    let ready = serde_json::from_str(&running.line()).unwrap();
    (running, ready)
}

#[test]
fn the_text_is_the_same_through_any_link() {
    let model = fair_drafter(&fixture("qwen2"), "1:0");
    let cloud = Cloud::start(model.path(), "1:0");
    let common = ["run", "--json", "--max-tokens", "12", "--model", model.path().to_str().unwrap()];
    let local = run([&common[..], &["--local", "A hat."]].concat()).json();
    let rough = ["--jitter", "1ms", "--stall", "20/s:5ms", "--outage", "50ms:20ms"];
    for more in [
        &["--preset", "wifi-scaled", "--hidden", "48"][..],
        &rough,
        &["--preset", "lte", "--rtt", "4ms"],
        &["--preset", "loopback"],
    ] {
        let (running, ready) = link(&format!("localhost:{}", cloud.port), more);
        let url = format!("http://{}", ready["address"].as_str().unwrap());
        let remote = run([&common[..], &["--cloud", &url, "A hat."]].concat()).json();
        assert_eq!(
            (&remote["text"], &remote["token_ids"]),
            (&local["text"], &local["token_ids"]),
            "{more:?}"
        );
        running.signal("INT");
        let done = running.finish().last_json();
        // The hidden states and what carries them, each way.
        for way in ["up", "down"] {
            let bytes = done["counters"][way]["bytes"].as_u64();
            assert!(bytes > remote[format!("bytes_{way}")].as_u64(), "{way} {done} {remote}");
        }
    }
}

#[test]
fn a_device_outlives_an_outage_that_resets() {
    let model = fair_drafter(&fixture("llama"), "1:0");
    let cloud = Cloud::start(model.path(), "1:0");
    let device = Device::load(model.path(), "1:0", HiddenCodec::F16);
    let turn = greedy(device.prompt("The hat told the cloud a story."), 24);
    let reference = device.reference(&turn);
    let link = Emulator::start(
        ([127, 0, 0, 1], 0).into(),
        ([127, 0, 0, 1], cloud.port).into(),
        LinkConfig::preset(Preset::Loopback),
    )
    .unwrap();
    let mut conversation = device.remote(&format!("http://{}", link.addr()));
    let mut disaster = on_token(9, || {
        link.outage(true);
        link.reset_connections();
    });
    let report = conversation.turn(turn, &mut |event| {
        if event == Event::Reconnecting {
            link.outage(false);
        }
        disaster(event)
    });
    let report = report.unwrap();
    assert_eq!(report.token_ids, reference.token_ids);
    assert_eq!(report.stats.lost_connections, 1);
}

#[test]
fn outages_reset_connections_when_asked_to() {
    let cloud = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_running, ready) =
        link(&cloud.local_addr().unwrap().to_string(), &["--outage", "30ms:10ms", "--reset"]);
    let mut device = TcpStream::connect(ready["address"].as_str().unwrap()).unwrap();
    device.set_read_timeout(Some(LIMIT)).unwrap();
    let _served = cloud.accept().unwrap();
    assert_eq!(device.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn the_ready_line_says_what_is_emulated() {
    let (running, ready) = link(
        "127.0.0.1:9",
        &[
            "--preset",
            "wifi",
            "--up",
            "60Mbit/s",
            "--down",
            "unlimited",
            "--rtt",
            "8ms",
            "--queue",
            "1MB",
        ],
    );
    assert_eq!(
        (ready["event"].as_str(), ready["to"].as_str()),
        (Some("ready"), Some("127.0.0.1:9"))
    );
    assert_eq!(
        (ready["up"]["bytes_per_s"].as_f64(), &ready["down"]["bytes_per_s"]),
        (Some(7.5e6), &Value::Null)
    );
    assert_eq!(
        (ready["rtt_ms"].as_f64(), ready["up"]["queue_bytes"].as_u64()),
        (Some(8.0), Some(1_000_000))
    );
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
    let (demo, ready) = link("127.0.0.1:9", &["--preset", "wifi-scaled"]);
    assert_eq!(ready["up"]["bytes_per_s"].as_f64(), Some(7.5e6 * 256.0 / 4096.0));
    drop(demo);
    let mut plain = Running::spawn(&mut tricorn([
        "link",
        "--listen",
        "127.0.0.1:0",
        "--to",
        "127.0.0.1:9",
        "--preset",
        "wan80",
    ]));
    let line = plain.line();
    assert!(
        line.starts_with("ready on 127.0.0.1:")
            && line.contains("12.500 MB/s")
            && line.contains("RTT 80.0 ms"),
        "{line}"
    );
}

#[test]
fn check_says_what_it_measured_and_its_exit_code_agrees() {
    let finished = run(["link", "--check", "--json", "--preset", "wifi", "--rtt", "2ms"]);
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    // A busy machine may fail it; that is for the report to say.
    assert_eq!(finished.code, Some(if report["passes"] == true { 0 } else { 1 }), "{finished:?}");
    for (way, asked) in [("up", 7.5e6), ("down", 12.5e6)] {
        assert_eq!(report[way]["asked"].as_f64(), Some(asked));
        assert!(
            report[way]["alone"].as_f64() > Some(0.0)
                && report[way]["both_ways"].as_f64() > Some(0.0),
            "{report}"
        );
    }
    // No byte arrives early.
    assert!(report["rtt_ms"]["median"].as_f64() >= Some(2.0), "{report}");
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    until("the port is taken", || TcpListener::bind(&port).is_err().then_some(()));
    let to = ["link", "--to", "127.0.0.1:9"];
    let cases: [(&[&str], i32, &[&str]); 14] = [
        (&["--up", "0MB/s"], 2, &["up rate is 0 bytes/s", "at least 1", "unlimited"]),
        (&["--down", "0.1B/s"], 2, &["down rate"]),
        (&["--up", "7.5"], 2, &["--up", "a unit", "MB/s"]),
        (&["--up", "-7.5MB/s"], 2, &["--up"]),
        (&["--up", "fast"], 2, &["--up", "7.5MB/s"]),
        (&["--rtt", "6"], 2, &["--rtt", "ms"]),
        (&["--rtt", "1000s"], 2, &["delay", "at most 60s"]),
        (&["--rtt", "6ms", "--jitter", "4ms"], 2, &["jitter of 4ms", "delay of 3ms"]),
        (&["--stall", "often"], 2, &["--stall", "0.5/s:200ms"]),
        (&["--stall", "0/s:200ms"], 2, &["stalls", "above 0"]),
        (&["--queue", "0B"], 2, &["queue holds no bytes"]),
        (&["--outage", "30s"], 2, &["--outage", "30s:2s"]),
        (&["--preset", "wlan"], 2, &["--preset", "wifi-scaled"]),
        (&["--listen", &port], 2, &["is in use", "another port"]),
    ];
    for (more, code, parts) in cases {
        let finished = run([&to[..], more].concat());
        let line = finished.error(code);
        assert!(parts.iter().all(|part| line.contains(part)), "{more:?}: {line}");
    }
    assert!(run(["link", "--to", "127.0.0.1"]).error(2).contains("HOST:PORT"));
    assert!(run(["link"]).error(2).contains("--to"));
}
