//! File, environment and flags of one call, the stronger over the weaker.

use super::{
    ConfigError, command, environment, file::ConfigFile, flags_alone, is_setting, is_switch,
    optional, rivals,
};
use crate::args::COMMANDS;
use clap::{
    Arg, ArgMatches, Command,
    builder::{OsStr, Resettable},
    parser::ValueSource,
};
use std::{collections::HashSet, ffi::OsString, path::PathBuf};

/// What a call's command line, environment and file say, for a command that reads them.
#[derive(Debug)]
pub(super) struct Layers {
    /// The program's commands, to be given the command line.
    pub(super) command: Command,
    pub(super) file: Option<ConfigFile>,
    /// Ids of the flags on the command line.
    on_line: HashSet<String>,
}

impl Layers {
    /// The layers for the command that `given` names.
    pub(super) fn of(given: &[OsString]) -> Result<Self, ConfigError> {
        // What is on the command line must be known before the rest is put in, and what is wrong
        // with it is told in the end.
        let flags = flags_alone();
        let first = lenient(flags.clone()).try_get_matches_from(given);
        let chosen = first
            .as_ref()
            .ok()
            .and_then(ArgMatches::subcommand)
            .filter(|(name, _)| COMMANDS.contains(name));
        let (Some((name, chosen)), Some(owner)) =
            (chosen, chosen.and_then(|(name, _)| flags.find_subcommand(name)))
        else {
            return Ok(Self { command: command(), file: None, on_line: HashSet::new() });
        };
        let is_on_line = |arg: &&Arg| {
            chosen.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
        };
        let on_line =
            owner.get_arguments().filter(is_on_line).map(|arg| arg.get_id().to_string()).collect();
        let mut layers = Self { command: command(), file: None, on_line };
        environment::check(owner, |arg| layers.is_on_line(arg))?;
        let asked = chosen.get_one::<PathBuf>("config").cloned();
        layers.file = ConfigFile::find(asked, &flags)?;
        layers.command = command().mut_subcommand(name, |command| {
            layers.fill(layers.settle(command, owner), owner, name)
        });
        Ok(layers)
    }

    /// Whether a flag is on the command line.
    pub(super) fn is_on_line(&self, arg: &Arg) -> bool {
        self.on_line.contains(arg.get_id().as_str())
    }

    /// The flag that excludes what the environment says of `arg`.
    pub(super) fn wins_over_environment<'a>(
        &self,
        owner: &'a Command,
        arg: &Arg,
    ) -> Option<&'a Arg> {
        rivals(owner, arg).into_iter().find(|rival| self.is_on_line(rival))
    }

    /// The flag that, on the command line or in the environment, excludes what the file says of
    /// `arg`.
    pub(super) fn wins_over_file<'a>(&self, owner: &'a Command, arg: &Arg) -> Option<&'a Arg> {
        let wins =
            |rival: &&Arg| self.is_on_line(rival) || is_setting(rival) && environment::sets(rival);
        rivals(owner, arg).into_iter().find(wins)
    }

    /// Keeps clap from what the environment says of flags that are excluded, and of switches that
    /// it leaves off.
    fn settle(&self, command: Command, owner: &Command) -> Command {
        let is_moot =
            |arg: &Arg| !environment::sets(arg) || self.wins_over_environment(owner, arg).is_some();
        command.mut_args(|arg| {
            if is_setting(&arg) && environment::value(&arg).is_some() && is_moot(&arg) {
                arg.env(Resettable::Reset)
            } else {
                arg
            }
        })
    }

    /// Puts the file's values in as the flags' defaults.
    fn fill(&self, command: Command, owner: &Command, name: &str) -> Command {
        let Some(file) = &self.file else { return command };
        let is_open = |arg: &&Arg| {
            is_setting(arg)
                && environment::value(arg).is_none()
                && self.wins_over_file(owner, arg).is_none()
        };
        let filled: Vec<(String, String)> = owner
            .get_arguments()
            .filter(is_open)
            .filter_map(|arg| Some((arg, file.value(name, arg)?)))
            .filter(|(arg, value)| !is_switch(arg) || value == "true")
            .map(|(arg, value)| (arg.get_id().to_string(), value))
            .collect();
        let groups: Vec<String> = owner
            .get_groups()
            .filter(|group| {
                group.get_args().any(|member| filled.iter().any(|(id, _)| member == id.as_str()))
            })
            .map(|group| group.get_id().to_string())
            .collect();
        let command = filled.into_iter().fold(command, |command, (id, value)| {
            command.mut_arg(id, |arg| arg.required(false).default_value(OsStr::from(value)))
        });
        groups
            .into_iter()
            .fold(command, |command, group| command.mut_group(group, |group| group.required(false)))
    }
}

/// The same commands, content with whatever is given.
fn lenient(command: Command) -> Command {
    COMMANDS.iter().fold(optional(command), |command, name| {
        command.mut_subcommand(name, |command| command.ignore_errors(true))
    })
}
