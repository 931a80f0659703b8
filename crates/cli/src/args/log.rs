//! Log flags of the commands that serve.

use super::named::named;
use clap::Args as ClapArgs;

#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct LogArgs {
    /// Log this and all that is worse to standard error: error, warn, info (a line for every
    /// session and request) or debug; never texts, tokens or hidden states
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "warn",
        value_parser = named(["error", "warn", "info", "debug"], parse_level),
        hide_possible_values = true
    )]
    pub(crate) log: LogLevel,
    /// Format of the log: text, or json for one object a line
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        value_parser = named(["text", "json"], parse_format),
        hide_possible_values = true
    )]
    pub(crate) log_format: LogFormat,
}

/// The least that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

/// The form of a log's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

fn parse_level(text: &str) -> Result<LogLevel, &'static str> {
    match text {
        "error" => Ok(LogLevel::Error),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        _ => Err("write error, warn, info or debug"),
    }
}

fn parse_format(text: &str) -> Result<LogFormat, &'static str> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("write text or json"),
    }
}
