//! The flags of `tricorn device`.

use super::{MiddleArgs, ModelArgs, generate::parse_seconds};
use clap::Args as ClapArgs;
use std::net::SocketAddr;
use tricorn_core::HiddenCodec;
use tricorn_device::engine::Offline;

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  tricorn device --model demo --cloud http://127.0.0.1:7070
  curl http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' \\
      -d '{\"model\": \"demo\", \"messages\": [{\"role\": \"user\", \"content\": \"A lost letter.\"}]}'")]
pub(crate) struct DeviceArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) middle: MiddleArgs,
    /// Where to listen; everybody who can reach it may use it, so think before you leave loopback
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = super::parse_listen)]
    pub(crate) listen: SocketAddr,
    /// The model's name in requests and answers [default: the last part of --model]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Conversations held, and requests that run at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) slots: u16,
    /// Requests that wait for a slot before more are refused
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) queue: usize,
    /// While the cloud is out of reach: `refuse` requests, or `draft` answers with the device's drafter alone, which are marked as such
    #[arg(long, value_name = "WHAT", default_value = "refuse", value_parser = parse_offline)]
    pub(crate) offline_fallback: Offline,
    /// Seconds after which a conversation that nobody goes on with gives its memory back
    #[arg(long, value_name = "SECONDS", default_value_t = 600.0, value_parser = parse_seconds)]
    pub(crate) idle: f64,
    /// Seconds for which a client that does not keep up with its answer is waited for; each part that it takes gives one back
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = parse_seconds)]
    pub(crate) client_patience: f64,
    /// Seconds that a request may take, its wait for a slot included [default: as long as it takes]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) request_deadline: Option<f64>,
    /// Origins whose web pages may use the endpoint, such as http://localhost:5173, with commas between them [default: its own page alone]
    #[arg(long, value_name = "ORIGINS", value_delimiter = ',')]
    pub(crate) allow_origin: Vec<String>,
    /// Names by which the endpoint may be called on loopback beside localhost, with commas between them
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) allow_host: Vec<String>,
    /// Format of hidden states on the wire: f16z (f16 in fewer bytes), f16, or f32 for exact numbers at twice the bytes
    #[arg(long, value_name = "CODEC", default_value_t = HiddenCodec::F16z)]
    pub(crate) codec: HiddenCodec,
    /// Seconds without an answer after which the cloud is taken for dead
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = parse_seconds)]
    pub(crate) deadline: f64,
}

fn parse_offline(text: &str) -> Result<Offline, String> {
    match text {
        "refuse" => Ok(Offline::Refuse),
        "draft" => Ok(Offline::Draft),
        _ => Err("write refuse or draft".to_owned()),
    }
}
