//! `tricorn link`: an emulated link between devices and a cloud.

use super::print_json;
use crate::{args::LinkArgs, bundled, error::CliError, generate::ms, ui};
use serde_json::{Value, json};
use std::{
    io::{self, IsTerminal},
    net::{SocketAddr, ToSocketAddrs},
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};
use tricorn_netem::{
    Counters, DirectionConfig, Emulator, LinkConfig, LinkError, LinkReport, RateReport, check,
};

/// Time between status lines.
const STATUS: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &LinkArgs) -> Result<(), CliError> {
    let config = config(args)?;
    config.validate().map_err(LinkError::from)?;
    if args.check {
        return measure(args, &config);
    }
    let to = resolve(args.to.as_deref().unwrap_or_default())?;
    let (stop, stopped) = mpsc::sync_channel::<()>(1);
    ctrlc::set_handler(move || {
        // Full when it was asked to stop already.
        let _ = stop.try_send(());
    })?;
    let emulator = Emulator::start(args.listen, to, config.clone())?;
    if args.json {
        print_json(&json!({
            "event": "ready",
            "address": emulator.addr().to_string(),
            "to": to.to_string(),
            "up": direction_json(&config.up),
            "down": direction_json(&config.down),
            "rtt_ms": ms(config.rtt()),
        }))?;
    } else {
        ui::print(format!("ready on {}: {} to {to}\n", emulator.addr(), describe(&config)))?;
    }
    keep(args, &emulator, &stopped);
    if args.json {
        print_json(&json!({ "event": "done", "counters": emulator.counters() }))?;
    }
    Ok(())
}

/// The preset with the flags' changes.
fn config(args: &LinkArgs) -> Result<LinkConfig, CliError> {
    let hidden = match args.hidden {
        Some(hidden) => hidden as usize,
        None if args.preset.is_scaled() => {
            bundled::open(args.model.as_deref().unwrap_or(Path::new(bundled::NAME)))?
                .config()
                .hidden
        }
        None => 0,
    };
    let mut config = LinkConfig { seed: args.seed, ..args.preset.config(hidden) };
    config.up.bytes_per_s = args.up.unwrap_or(config.up.bytes_per_s);
    config.down.bytes_per_s = args.down.unwrap_or(config.down.bytes_per_s);
    for direction in [&mut config.up, &mut config.down] {
        direction.delay = args.rtt.map_or(direction.delay, |rtt| rtt / 2);
        direction.jitter = args.jitter.unwrap_or(direction.jitter);
        direction.stalls = args.stall.or(direction.stalls);
        direction.queue_bytes = args.queue.or(direction.queue_bytes);
    }
    Ok(config)
}

fn resolve(to: &str) -> Result<SocketAddr, CliError> {
    to.to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| CliError::NoAddress(to.to_owned()))
}

/// Shows the traffic and keeps the outages until Ctrl-C.
fn keep(args: &LinkArgs, emulator: &Emulator, stopped: &Receiver<()>) {
    let shows_status = !args.json && io::stderr().is_terminal();
    let mut before = emulator.counters();
    let mut out = false;
    let now = Instant::now();
    let mut next_status = shows_status.then_some(now + STATUS);
    let mut next_switch = args.outage.and_then(|outages| now.checked_add(outages.after));
    loop {
        let wake = [next_status, next_switch].into_iter().flatten().min();
        let asked = match wake {
            Some(wake) => stopped.recv_timeout(wake.saturating_duration_since(Instant::now())),
            None => stopped.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        if asked != Err(RecvTimeoutError::Timeout) {
            break;
        }
        let now = Instant::now();
        if let Some(outages) = args.outage
            && next_switch.is_some_and(|switch| switch <= now)
        {
            out = !out;
            emulator.outage(out);
            if out && args.reset {
                emulator.reset_connections();
            }
            next_switch = next_switch.and_then(|switch| {
                switch.checked_add(if out { outages.lasting } else { outages.after })
            });
        }
        if next_status.is_some_and(|status| status <= now) {
            let counters = emulator.counters();
            ui::note(status_line(before, counters, out));
            before = counters;
            next_status = Some(now + STATUS);
        }
    }
    if shows_status {
        ui::note("\n");
    }
}

/// Overwrites the line before it.
fn status_line(before: Counters, now: Counters, out: bool) -> String {
    let traffic = |name: &str, before: u64, now: u64, held: usize| {
        format!(
            "{name} {}/s, {} in all, {} held",
            ui::bytes((now - before) as usize),
            ui::bytes(now as usize),
            ui::bytes(held)
        )
    };
    format!(
        "\r\x1b[2K{}{} | {} | {} open",
        if out { "outage | " } else { "" },
        traffic("up", before.up.bytes, now.up.bytes, now.up.held),
        traffic("down", before.down.bytes, now.down.bytes, now.down.held),
        now.open
    )
}

fn measure(args: &LinkArgs, config: &LinkConfig) -> Result<(), CliError> {
    let report = check(config)?;
    if args.json {
        print_json(&json!({
            "event": "checked",
            "up": rate_json(&report.up),
            "down": rate_json(&report.down),
            "rtt_ms": { "asked": report.rtt_asked * 1e3, "median": report.rtt_median * 1e3 },
            "passes": report.passes(),
        }))?;
    } else {
        ui::print(ui::table(&report_rows(&report)))?;
    }
    if report.passes() { Ok(()) } else { Err(CliError::LinkOff) }
}

fn report_rows(report: &LinkReport) -> [(&'static str, String); 3] {
    let rates = |report: &RateReport| {
        let [alone, both] = [report.alone, report.both_ways].map(|measured| {
            let error = if report.asked.is_finite() {
                format!(" ({:+.2} %)", (measured / report.asked - 1.0) * 100.0)
            } else {
                String::new()
            };
            rate(measured) + &error
        });
        format!("asked {}, measured {alone}, with the other way full {both}", rate(report.asked))
    };
    let [asked, median] = [report.rtt_asked, report.rtt_median].map(|seconds| seconds * 1e3);
    [
        ("up", rates(&report.up)),
        ("down", rates(&report.down)),
        (
            "round trip",
            format!(
                "asked {asked:.2} ms, measured {median:.2} ms (median), {:+.2} ms",
                median - asked
            ),
        ),
    ]
}

fn describe(config: &LinkConfig) -> String {
    format!(
        "up {}, down {}, RTT {:.1} ms",
        rate(config.up.bytes_per_s),
        rate(config.down.bytes_per_s),
        ms(config.rtt())
    )
}

fn rate(bytes_per_s: f64) -> String {
    if bytes_per_s.is_infinite() {
        "unlimited".to_owned()
    } else if bytes_per_s < 1e3 {
        format!("{bytes_per_s:.1} B/s")
    } else if bytes_per_s < 1e6 {
        format!("{:.1} kB/s", bytes_per_s / 1e3)
    } else {
        format!("{:.3} MB/s", bytes_per_s / 1e6)
    }
}

/// No limit is `null`, as JSON has no infinity.
fn limit(bytes_per_s: f64) -> Option<f64> {
    bytes_per_s.is_finite().then_some(bytes_per_s)
}

fn direction_json(direction: &DirectionConfig) -> Value {
    json!({
        "bytes_per_s": limit(direction.bytes_per_s),
        "queue_bytes": direction.queue_limit(),
        "jitter_ms": ms(direction.jitter),
    })
}

fn rate_json(report: &RateReport) -> Value {
    json!({ "asked": limit(report.asked), "alone": report.alone, "both_ways": report.both_ways })
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn no_rate_is_shown_as_none() {
        let shown = [1.0, 999.0, 1e3, 7.5e6, f64::INFINITY].map(rate);
        assert_eq!(shown, ["1.0 B/s", "999.0 B/s", "1.0 kB/s", "7.500 MB/s", "unlimited"]);
    }
}
