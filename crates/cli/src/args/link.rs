//! Flags of `tricorn link`.

use super::{named::named, parse_listen};
use clap::Args as ClapArgs;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use tricorn_netem::{Preset, StallRate, Stalls, parse_bytes, parse_duration, parse_rate};

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Presets: wifi (up 7.5 MB/s, down 12.5 MB/s, RTT 6 ms), wifi-scaled (the same by the model's \
hidden size over 4096), 5g, lte, wan80, loopback.

Examples:
  tricorn link --to 127.0.0.1:7070 --preset wifi    # devices: --cloud http://127.0.0.1:7080
  tricorn link --to 127.0.0.1:7070 --preset lte --up 300kB/s --jitter 10ms --stall 0.5/s:200ms
  tricorn link --check --preset wan80")]
pub(crate) struct LinkArgs {
    /// Where devices connect; port 0 takes any free port
    #[arg(
        long,
        value_name = "ADDR",
        default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7080),
        value_parser = parse_listen
    )]
    pub(crate) listen: SocketAddr,
    /// The cloud at the other end of the link
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "check")]
    pub(crate) to: Option<String>,
    /// A link by name; the flags below change it
    #[arg(
        long,
        value_name = "NAME",
        default_value_t = Preset::Wifi,
        value_parser = named(Preset::ALL.map(Preset::name), str::parse::<Preset>),
        hide_possible_values = true
    )]
    pub(crate) preset: Preset,
    /// Hidden size that a scaled preset is scaled by [default: the model's]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000),
        conflicts_with = "model"
    )]
    pub(crate) hidden: Option<u32>,
    /// Model that a scaled preset is scaled for [default: demo]
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Rate from device to cloud, such as 7.5MB/s or 60Mbit/s, or `unlimited`
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, value_parser = parse_rate)]
    pub(crate) up: Option<f64>,
    /// Rate from cloud to device
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, value_parser = parse_rate)]
    pub(crate) down: Option<f64>,
    /// Round trip time, half of it each way, such as 6ms
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse_duration)]
    pub(crate) rtt: Option<Duration>,
    /// Each way's delay varies by as much either way, without reordering
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse_duration)]
    pub(crate) jitter: Option<Duration>,
    /// Random moments in which nothing leaves, each way: how often, per second or per megabyte, and
    /// how long, such as 0.5/s:200ms or 2/MB:50ms
    #[arg(long, value_name = "OFTEN:TIME", allow_hyphen_values = true, value_parser = parse_stalls)]
    pub(crate) stall: Option<Stalls>,
    /// Bytes that may wait in each way before the sender is held back, such as 256KiB [default:
    /// about two bandwidth-delay products]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = parse_bytes)]
    pub(crate) queue: Option<usize>,
    /// Outages: after how long the next begins, and how long it lasts, such as 30s:2s
    #[arg(
        long,
        value_name = "AFTER:TIME",
        allow_hyphen_values = true,
        value_parser = parse_outages,
        conflicts_with = "check"
    )]
    pub(crate) outage: Option<Outages>,
    /// Reset every connection when an outage begins
    #[arg(long, requires = "outage")]
    pub(crate) reset: bool,
    /// Seed of jitter and stalls
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Measure the link instead, against a server on this machine; exit code 1 when a rate is off
    /// by 3 % or the round trip by 1 ms
    #[arg(long, conflicts_with_all = ["to", "listen"])]
    pub(crate) check: bool,
    /// Print the ready line and the figures as JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// An outage of `lasting` follows every `after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outages {
    pub(crate) after: Duration,
    pub(crate) lasting: Duration,
}

fn parse_stalls(text: &str) -> Result<Stalls, String> {
    let usage = || "write how often and how long, for example 0.5/s:200ms or 2/MB:50ms".to_owned();
    let (often, duration) = text.split_once(':').ok_or_else(usage)?;
    let (count, unit) = often.split_once('/').ok_or_else(usage)?;
    let count = count.trim().parse().map_err(|_| usage())?;
    let rate = match unit {
        "s" => StallRate::PerSecond(count),
        "MB" => StallRate::PerMegabyte(count),
        _ => return Err(usage()),
    };
    Ok(Stalls { rate, duration: parse_duration(duration).map_err(|_| usage())? })
}

fn parse_outages(text: &str) -> Result<Outages, String> {
    let parse = || {
        let (after, lasting) = text.split_once(':')?;
        let outages =
            Outages { after: parse_duration(after).ok()?, lasting: parse_duration(lasting).ok()? };
        (!outages.after.is_zero() && !outages.lasting.is_zero()).then_some(outages)
    };
    parse().ok_or_else(|| "write two times above 0, for example 30s:2s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_and_outages() {
        let stalls = |rate| Ok(Stalls { rate, duration: Duration::from_millis(50) });
        assert_eq!(parse_stalls("0.5/s:50ms"), stalls(StallRate::PerSecond(0.5)));
        assert_eq!(parse_stalls("2/MB:50ms"), stalls(StallRate::PerMegabyte(2.0)));
        assert_eq!(
            parse_outages("30s:2s"),
            Ok(Outages { after: Duration::from_secs(30), lasting: Duration::from_secs(2) })
        );
        for text in ["", "50ms", "2:50ms", "2/min:50ms", "x/s:50ms", "2/s:50"] {
            assert!(parse_stalls(text).is_err_and(|error| error.contains("0.5/s:200ms")), "{text}");
        }
        for text in ["", "30s", "30s:0s", "0s:2s", "30:2"] {
            assert!(parse_outages(text).is_err(), "{text}");
        }
    }
}
