//! The flags of `tricorn device`.

use super::{MiddleArgs, ModelArgs};
use clap::Args as ClapArgs;
use std::net::SocketAddr;
use tricorn_core::HiddenCodec;

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
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Conversations held, and requests that run at a time
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) slots: usize,
    /// Requests that wait for a slot before more are refused
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) queue: usize,
    /// Format of hidden states on the wire: f16z (f16 in fewer bytes), f16, or f32 for exact numbers at twice the bytes
    #[arg(long, value_name = "CODEC", default_value_t = HiddenCodec::F16z)]
    pub(crate) codec: HiddenCodec,
    /// Seconds without an answer after which the cloud is taken for dead
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = super::generate::parse_seconds)]
    pub(crate) deadline: f64,
}
