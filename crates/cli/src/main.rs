//! The `tricorn` binary: arguments, progress and output; everything else is in the libraries.

mod args;
mod bundled;
mod commands;
mod config;
mod error;
mod generate;
mod ui;

use clap::error::ErrorKind;
use config::Refusal;
use std::process::ExitCode;

/// Stock malloc returns large buffers to the system at once; the page faults that follow halve the speed of training.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = match config::parse(std::env::args_os().collect()) {
        Ok(args) => args,
        Err(Refusal::Arguments(error)) => return misunderstood(&error),
        Err(Refusal::File(error)) => {
            ui::note(ui::error_line(&error) + "\n");
            return ExitCode::from(2);
        }
    };
    match commands::run(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
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
        let text = error.to_string();
        let first = text.split("\n\n").next().unwrap_or_default();
        let line = first.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
        ui::note(ui::error_line(&format!("{line}; `--help` explains every flag")) + "\n");
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
