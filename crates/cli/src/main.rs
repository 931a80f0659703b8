//! The `tricorn` binary: arguments, progress and output; everything else is in the libraries.

mod args;
mod bundled;
mod commands;
mod error;
mod generate;
mod ui;

use clap::Parser;
use std::process::ExitCode;

/// Stock malloc returns large buffers to the system at once; the page faults that follow halve the speed of training.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match commands::run(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            ui::note(ui::error_line(&error) + "\n");
            error.exit_code()
        }
    }
}
