//! The flags of `tricorn device`.

use super::{
    DrafterArgs, LogArgs, MiddleArgs, ModelArgs,
    generate::parse_seconds,
    named::{self, named},
};
use clap::{Args as ClapArgs, builder::NonEmptyStringValueParser};
use std::net::SocketAddr;
use tricorn_core::HiddenCodec;
use tricorn_device::engine::Offline;

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  tricorn device --model demo --cloud http://127.0.0.1:7070
  curl http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' \\
      -d '{\"model\": \"demo\", \"temperature\": 0,
           \"messages\": [{\"role\": \"user\", \"content\": \"A lost letter.\"}]}'")]
pub(crate) struct DeviceArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) middle: MiddleArgs,
    /// Where to listen; everybody who can reach it may use it, so think before you leave loopback
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        value_parser = super::parse_listen
    )]
    pub(crate) listen: SocketAddr,
    /// The model's name in requests and answers [default: the last part of --model]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: Option<String>,
    /// Conversations held, and requests that run at a time
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    pub(crate) slots: u16,
    /// Requests that wait for a slot before more are refused
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) queue: usize,
    #[command(flatten)]
    pub(crate) drafter: DrafterArgs,
    /// While the cloud is out of reach: `refuse` requests, or `draft` answers with the device's
    /// drafter alone, which are marked as such
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "refuse",
        value_parser = named(["refuse", "draft"], parse_offline),
        hide_possible_values = true
    )]
    pub(crate) offline_fallback: Offline,
    /// Seconds after which a conversation that nobody goes on with gives its memory back
    #[arg(long, value_name = "SECONDS", default_value_t = 600.0, value_parser = parse_seconds)]
    pub(crate) idle: f64,
    /// Seconds for which a client that does not keep up with its answer is waited for; each part
    /// that it takes gives one back
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = parse_seconds)]
    pub(crate) client_patience: f64,
    /// Seconds that a request may take, its wait for a slot included [default: as long as it takes]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) request_deadline: Option<f64>,
    /// Origins whose web pages may use the endpoint, such as http://localhost:5173, with commas
    /// between them [default: its own page alone]
    #[arg(long, value_name = "ORIGINS", value_delimiter = ',', value_parser = parse_origin)]
    pub(crate) allow_origin: Vec<String>,
    /// Names by which the endpoint may be called on loopback beside localhost, with commas between
    /// them
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse_host)]
    pub(crate) allow_host: Vec<String>,
    /// Format of hidden states on the wire: f16z (f16 in fewer bytes), f16, or f32 for exact
    /// numbers at twice the bytes
    #[arg(
        long,
        value_name = "CODEC",
        default_value_t = HiddenCodec::F16z,
        value_parser = named::codec(),
        hide_possible_values = true
    )]
    pub(crate) codec: HiddenCodec,
    /// Seconds without an answer after which the cloud is taken for dead
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = parse_seconds)]
    pub(crate) deadline: f64,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// Print the ready line as one JSON object: event, address, model, fingerprint
    #[arg(long)]
    pub(crate) json: bool,
}

/// An origin as browsers send it, which is compared letter by letter.
fn parse_origin(text: &str) -> Result<String, String> {
    let mend = || {
        "write it as browsers do: scheme://host or scheme://host:port, for example \
         http://localhost:5173"
            .to_owned()
    };
    let (scheme, place) = text.split_once("://").ok_or_else(mend)?;
    let is_scheme = scheme.starts_with(|letter: char| letter.is_ascii_lowercase())
        && scheme.chars().all(|letter| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || "+-.".contains(letter)
        });
    let (host, port) =
        place.rsplit_once(':').filter(|_| !place.ends_with(']')).unwrap_or((place, "1"));
    let is_good = is_scheme
        && is_host(host.trim_start_matches('[').trim_end_matches(']'))
        && port.parse::<u16>().is_ok();
    if is_good { Ok(text.to_owned()) } else { Err(mend()) }
}

fn parse_host(text: &str) -> Result<String, String> {
    let is_name = is_host(text) && !text.contains(':');
    if is_name {
        Ok(text.to_owned())
    } else {
        Err("write the name alone, without http:// and port, for example box.lan".to_owned())
    }
}

/// A name, or an address in either version of IP, as far as letters tell.
fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._:".contains(letter))
}

fn parse_offline(text: &str) -> Result<Offline, String> {
    match text {
        "refuse" => Ok(Offline::Refuse),
        "draft" => Ok(Offline::Draft),
        _ => Err("write refuse or draft".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_those_that_browsers_send() {
        for good in [
            "http://localhost:5173",
            "https://app.example",
            "http://[::1]:8080",
            "http://[::1]",
            "chrome-extension://abcdefgh",
        ] {
            assert_eq!(parse_origin(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "foo",
            "*",
            "localhost:5173",
            "http://",
            "http://a/",
            "http://a/b",
            "HTTP://a",
            "http://a:b",
            "http://a:99999",
            "http://a b",
        ] {
            assert!(parse_origin(bad).is_err_and(|mend| mend.contains("scheme://host")), "{bad}");
        }
    }

    #[test]
    fn hosts_are_names() {
        for good in ["box", "box.lan", "my-box_2"] {
            assert_eq!(parse_host(good).as_deref(), Ok(good));
        }
        for bad in ["", "http://x", "box:8080", "box/", "a b"] {
            assert!(parse_host(bad).is_err_and(|mend| mend.contains("box.lan")), "{bad}");
        }
    }
}
