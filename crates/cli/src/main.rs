//! The `tricorn` binary: arguments, progress and output; everything else is in the libraries.

#![forbid(unsafe_code)]

mod args;
mod bundled;
mod commands;
mod config;
mod error;
mod generate;
mod log;
mod ui;

use clap::error::ErrorKind;
use config::Refusal;
use error::CliError;
use std::process::ExitCode;

/// Stock malloc returns large buffers to the system at once; the page faults that follow halve the
/// speed of training.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match config::parse(std::env::args_os().collect()) {
        Ok(args) => commands::run(args.command),
        Err(refusal) => Err(refusal.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(CliError::Config(Refusal::Arguments(error))) => misunderstood(&error),
        Err(error) => {
            ui::note(ui::error_line(&error) + "\n");
            error.exit_code()
        }
    }
}

/// Help and version as clap writes them; every mistake as one line.
fn misunderstood(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // A closed pipe is all that can be wrong here, and then nobody is left to tell.
        let _ = error.print();
    } else {
        ui::note(
            ui::error_line(&format!("{}; `--help` explains every flag", config::one_line(error)))
                + "\n",
        );
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
