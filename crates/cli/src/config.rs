//! Configuration of a command: a file, the environment, then flags; each wins over those before.
//!
//! All three are the command's flags: `--kv-memory` is `kv-memory` in the file and
//! `TRICORN_KV_MEMORY` in the environment. clap reads flags and the environment; the file's values
//! become the flags' defaults, except where something stronger excludes them.

mod environment;
mod error;
mod file;
mod layers;
mod origin;

pub(crate) use error::{ConfigError, Refusal};
pub(crate) use origin::{Given, Origin, Setting, settings};

use crate::args::{Args, COMMANDS};
use clap::{Arg, Command, CommandFactory, FromArgMatches, Id, ValueHint, value_parser};
use layers::Layers;
use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

/// The arguments that flags, environment and file come to.
pub(crate) fn parse(given: Vec<OsString>) -> Result<Args, Refusal> {
    let command = Layers::of(&given)?.command;
    Ok(Args::from_arg_matches(&command.try_get_matches_from(given)?)?)
}

/// The program's commands with the environment, without the file.
pub(crate) fn command() -> Command {
    COMMANDS.iter().fold(flags_alone(), |command, name| {
        command.mut_subcommand(name, |command| {
            command.mut_args(|arg| if is_setting(&arg) { environment::read_by(arg) } else { arg })
        })
    })
}

/// The program's commands with `--config` where a file is read, without file and environment.
fn flags_alone() -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .value_parser(value_parser!(PathBuf))
        .help(
            "Configuration file [default: TRICORN_CONFIG, else the user's; `tricorn config` shows \
             what it comes to]",
        );
    COMMANDS.iter().fold(Args::command(), |command, name| {
        command.mut_subcommand(name, |command| command.arg(config.clone()))
    })
}

/// Whether a flag is set by file and environment too: one with a value or a switch, that is not
/// about one call's output.
fn is_setting(arg: &Arg) -> bool {
    let once = ["help", "version", "json", "config", "raw", "until-stdin-ends"];
    arg.get_long().is_some_and(|long| !once.contains(&long))
}

/// The names of a flag: its own, then those that stand for it.
fn names(arg: &Arg) -> Vec<&str> {
    arg.get_long().into_iter().chain(arg.get_visible_aliases().unwrap_or_default()).collect()
}

/// Whether a flag has no value: it is there or not.
fn is_switch(arg: &Arg) -> bool {
    !arg.get_action().takes_values()
}

/// What is wrong with a value, as the flag itself would say.
fn problem_with(arg: &Arg, value: &OsStr) -> Option<String> {
    let mut given = OsString::from(format!("--{}=", arg.get_long()?));
    given.push(value);
    let alone = Command::new("value").no_binary_name(true).arg(arg.clone().required(false));
    alone.try_get_matches_from([given]).err().map(|error| one_line(&error))
}

/// What clap says, without its hints.
pub(crate) fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    first.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The flags that cannot be given together with `arg`: by their own word, or as members of a group
/// of which one is chosen.
fn rivals<'a>(command: &'a Command, arg: &Arg) -> Vec<&'a Arg> {
    let exclusive = command.get_groups().filter(|group| !(*group).clone().is_multiple());
    let shared = exclusive
        .filter(|group| group.get_args().any(|member| member == arg.get_id()))
        .flat_map(|group| group.get_args());
    let members: Vec<&Id> = shared.filter(|member| *member != arg.get_id()).collect();
    let conflicts = command.get_arg_conflicts_with(arg);
    let is_rival = |other: &&Arg| {
        members.contains(&other.get_id())
            || conflicts.iter().any(|conflict| conflict.get_id() == other.get_id())
    };
    command.get_arguments().filter(is_rival).collect()
}

/// The same commands, which demand nothing.
fn optional(command: Command) -> Command {
    COMMANDS.iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| {
            let groups: Vec<String> =
                command.get_groups().map(|group| group.get_id().to_string()).collect();
            let command = command.mut_args(|arg| arg.required(false));
            groups.into_iter().fold(command, |command, group| {
                command.mut_group(group, |group| group.required(false))
            })
        })
    })
}
