//! Where each value of a command came from.

use super::{ConfigError, ConfigFile, is_setting, lenient, variable, with_file};
use clap::{ArgMatches, parser::ValueSource};
use std::{ffi::OsString, fmt, path::PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(PathBuf),
    Environment(String),
    Flag,
    /// There is no value.
    Unset,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("flag"),
            Self::Unset => f.write_str("not set"),
        }
    }
}

/// One flag of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) origin: Origin,
}

/// All settings of command `name` when it is given `flags`.
pub(crate) fn settings(name: &str, flags: &[OsString]) -> Result<Vec<Setting>, ConfigError> {
    let given: Vec<OsString> = [OsString::from("tricorn"), name.into()].into_iter().chain(flags.iter().cloned()).collect();
    let (command, file) = with_file(&given)?;
    let command = lenient(command);
    let matches = command.clone().try_get_matches_from(given).ok();
    let chosen = matches.as_ref().and_then(ArgMatches::subcommand).map(|(_, chosen)| chosen);
    // Filling values in changes the order of flags; these are as the help has them.
    let plain = super::command();
    let owner = plain.get_subcommands().find(|owner| owner.get_name() == name);
    let args = owner.into_iter().flat_map(|owner| owner.get_arguments()).filter(|arg| is_setting(arg) && !arg.is_hide_set());
    Ok(args
        .filter_map(|arg| {
            let (long, id) = (arg.get_long()?, arg.get_id().as_str());
            let raw = chosen.and_then(|chosen| chosen.get_raw(id)).and_then(|mut values| values.next());
            let value = raw.map(|value| value.to_string_lossy().into_owned());
            let in_file = |file: &ConfigFile| file.value(name, long).map(|_| Origin::File(file.path().to_owned()));
            let origin = match chosen.and_then(|chosen| chosen.value_source(id)) {
                Some(ValueSource::CommandLine) => Origin::Flag,
                Some(ValueSource::EnvVariable) => Origin::Environment(variable(arg)?),
                Some(_) if value.is_some() => file.as_ref().and_then(in_file).unwrap_or(Origin::Default),
                _ => Origin::Unset,
            };
            Some(Setting { name: long.to_owned(), value, origin })
        })
        .collect())
}
