//! Commands, one a file.

mod bench;
mod chat;
mod cloud;
mod completions;
mod config;
mod demo;
mod device;
mod distill;
mod inspect;
mod link;
mod pack;
mod pull;
mod run;

use crate::{
    args::{Command, ModelArgs},
    bundled,
    error::CliError,
    ui,
};
use std::{ffi::OsStr, num::NonZero, sync::Arc};
use tricorn_core::Split;
use tricorn_kernels::{KvFormat, threads};
use tricorn_model::{ComputeDevice, KvError, MiddlePart, ModelError, ModelSource, default_split};

/// Each connection of a server takes a file descriptor, and the limit that shells start with is
/// made for old programs. Where it cannot be raised, it is reached sooner.
fn allow_many_connections() {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
}

pub(crate) fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Chat(args) => chat::run(&args),
        Command::Cloud(args) => cloud::run(&args),
        Command::Device(args) => device::run(&args),
        Command::Link(args) => link::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Distill(args) => distill::run(&args),
        Command::Pack(args) => pack::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Pull(args) => pull::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Completions(args) => completions::completions(&args),
        Command::Man(args) => completions::man(&args),
    }
}

/// Opens the model that the flags name and finds its split.
fn open(args: &ModelArgs) -> Result<(Arc<ModelSource>, Split), CliError> {
    use_threads(args.threads)?;
    if args.device != ComputeDevice::Cpu && args.kv == KvFormat::Q8 {
        return Err(ModelError::Kv(KvError::DeviceFormat { format: args.kv }).into());
    }
    let source = Arc::new(bundled::load(&args.model)?.quantised(args.quant)?.on(args.device)?);
    let split = resolve(&source, args.split)?;
    Ok((source, split))
}

fn resolve(source: &ModelSource, split: Option<Split>) -> Result<Split, CliError> {
    let split = match split {
        Some(split) => split,
        None => default_split(source)?,
    };
    split.ranges(source.config().layers)?;
    Ok(split)
}

fn use_threads(threads: Option<u16>) -> Result<(), CliError> {
    let Some(threads) = threads.and_then(|threads| NonZero::new(usize::from(threads))) else {
        return Ok(());
    };
    threads::configure(threads)?;
    // The trainer spreads its lessons with rayon.
    Ok(rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build_global()?)
}

/// The middle for a run without a cloud.
fn local_middle(source: &ModelSource, split: Split) -> Result<MiddlePart, CliError> {
    if source.bundle().is_some() {
        return Err(CliError::BundleWithoutMiddle);
    }
    Ok(MiddlePart::load(source, split)?)
}

fn utf8(argument: &OsStr) -> Result<&str, CliError> {
    argument.to_str().ok_or(CliError::NotUtf8)
}

fn print_json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let line = serde_json::to_string(value).map_err(std::io::Error::other)?;
    Ok(ui::print(line + "\n")?)
}
