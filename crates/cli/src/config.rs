//! What a command runs with: a file, then the environment, then flags; each wins over those before.
//!
//! All three are the command's flags: `--kv-memory` is `kv-memory` in the file and `TRICORN_KV_MEMORY` in the environment. clap reads flags
//! and the environment; the file's values become the flags' defaults, except where something stronger excludes them.

mod file;
mod origin;

pub(crate) use file::{ConfigError, ConfigFile};
pub(crate) use origin::{Origin, Setting, settings};

use crate::args::Args;
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches, Id, builder::OsStr, parser::ValueSource};
use std::ffi::OsString;

/// Commands whose flags the file and the environment set: those that run for long, and those that generate text.
pub(crate) const COMMANDS: [&str; 4] = ["device", "cloud", "run", "chat"];
const PREFIX: &str = "TRICORN_";

/// Why there are no arguments: what was asked is wrong, or the file is.
#[derive(Debug)]
pub(crate) enum Refusal {
    Arguments(clap::Error),
    File(ConfigError),
}

impl From<clap::Error> for Refusal {
    fn from(error: clap::Error) -> Self {
        Self::Arguments(error)
    }
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        Self::File(error)
    }
}

/// The arguments that flags, environment and file come to.
pub(crate) fn parse(given: Vec<OsString>) -> Result<Args, Refusal> {
    let command = with_file(&given)?.0;
    Ok(Args::from_arg_matches(&command.try_get_matches_from(given)?)?)
}

/// The program's commands with the environment, without the file.
pub(crate) fn command() -> Command {
    COMMANDS.iter().fold(Args::command(), |command, name| {
        command.mut_subcommand(name, |command| command.mut_args(|arg| if is_setting(&arg) { with_environment(arg) } else { arg }))
    })
}

/// Whether a flag is set by file and environment too: one with a value or a switch, that is not about one call's output.
pub(crate) fn is_setting(arg: &Arg) -> bool {
    let once = ["help", "version", "json", "config", "raw", "until-stdin-ends"];
    arg.get_long().is_some_and(|long| !once.contains(&long))
}

/// The environment's name of a flag.
pub(crate) fn variable(arg: &Arg) -> Option<String> {
    Some(PREFIX.to_owned() + &arg.get_long()?.replace('-', "_").to_uppercase())
}

fn with_environment(arg: Arg) -> Arg {
    match variable(&arg) {
        // An empty variable is one that is not set, as shells and compose files have it.
        Some(name) if std::env::var_os(&name).is_some_and(|value| value.is_empty()) => arg,
        Some(name) => arg.env(name).hide_env_values(true),
        None => arg,
    }
}

/// The commands with the file's values as defaults, and the file, for the command that `given` names.
pub(crate) fn with_file(given: &[OsString]) -> Result<(Command, Option<ConfigFile>), ConfigError> {
    // What is explicit must be known before the file's values are put in, and what is wrong with it is told in the end.
    let first = lenient(command()).try_get_matches_from(given);
    let Some((name, chosen)) = first.as_ref().ok().and_then(ArgMatches::subcommand) else { return Ok((command(), None)) };
    if !COMMANDS.contains(&name) {
        return Ok((command(), None));
    }
    let asked = chosen.get_one::<std::path::PathBuf>("config").cloned();
    let Some(file) = ConfigFile::find(asked, &command())? else { return Ok((command(), None)) };
    let filled = command().mut_subcommand(name, |command| fill(command, name, &file, chosen));
    Ok((filled, Some(file)))
}

/// Puts the file's values in as the flags' defaults.
fn fill(command: Command, name: &str, file: &ConfigFile, explicit: &ArgMatches) -> Command {
    let is_explicit = |id: &str| {
        let source = explicit.try_contains_id(id).ok().and_then(|_| explicit.value_source(id));
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    };
    let excluded = |arg: &Arg| rivals(&command, arg).iter().any(|rival| is_explicit(rival.get_id().as_str()));
    let filled: Vec<(String, String)> = command
        .get_arguments()
        .filter(|arg| is_setting(arg) && !excluded(arg))
        .filter_map(|arg| Some((arg.get_id().to_string(), file.value(name, arg.get_long()?)?)))
        .collect();
    let groups: Vec<String> = command
        .get_groups()
        .filter(|group| group.get_args().any(|member| filled.iter().any(|(id, _)| member == id.as_str())))
        .map(|group| group.get_id().to_string())
        .collect();
    let command = filled
        .into_iter()
        .fold(command, |command, (id, value)| command.mut_arg(id, |arg| arg.required(false).default_value(OsStr::from(value))));
    groups.into_iter().fold(command, |command, group| command.mut_group(group, |group| group.required(false)))
}

/// The flags that cannot be given together with `arg`: by their own word, or as members of a group of which one is chosen.
fn rivals<'a>(command: &'a Command, arg: &Arg) -> Vec<&'a Arg> {
    let exclusive = command.get_groups().filter(|group| !(*group).clone().is_multiple());
    let shared = exclusive.filter(|group| group.get_args().any(|member| member == arg.get_id())).flat_map(|group| group.get_args());
    let members: Vec<&Id> = shared.filter(|member| *member != arg.get_id()).collect();
    let conflicts = command.get_arg_conflicts_with(arg);
    let is_rival = |other: &&Arg| members.contains(&other.get_id()) || conflicts.iter().any(|conflict| conflict.get_id() == other.get_id());
    command.get_arguments().filter(is_rival).collect()
}

/// The same commands, content with whatever is given.
pub(crate) fn lenient(command: Command) -> Command {
    COMMANDS.iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| {
            let groups: Vec<String> = command.get_groups().map(|group| group.get_id().to_string()).collect();
            let command = command.ignore_errors(true).mut_args(|arg| arg.required(false));
            groups.into_iter().fold(command, |command, group| command.mut_group(group, |group| group.required(false)))
        })
    })
}
