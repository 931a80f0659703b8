//! Log of the commands that serve, on standard error.

use crate::{
    args::{LogArgs, LogFormat, LogLevel},
    ui,
};
use std::{fmt::Display, io, sync::OnceLock};
use tracing_subscriber::{
    Layer, filter::LevelFilter, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

/// The targets whose events are logged: our own crates, all of which are called so. Others tell of
/// frames and headers.
const OURS: &str = "tricorn";

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Logs from now on what the flags ask for.
pub(crate) fn start(args: LogArgs) {
    let level = match args.log {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match args.log_format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let filter = Targets::new().with_target(OURS, level);
    // A process has one log: a second start would find that of the first.
    if tracing_subscriber::registry().with(lines.with_filter(filter)).try_init().is_ok() {
        let _ = FORMAT.set(args.log_format);
    }
}

/// Warns a person who reads standard error, or a program that reads the log.
pub(crate) fn warning(text: impl Display) {
    if FORMAT.get() == Some(&LogFormat::Json) {
        tracing::warn!("{text}");
    } else {
        ui::note(format!("warning: {text}\n"));
    }
}
